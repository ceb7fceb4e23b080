import { describe, expect, it } from "vitest";
import { type BatchSource, inductionHeads } from "../data/index.ts";
import { evaluateBatches } from "../generation/index.ts";
import { MambaLM, mambaConfig } from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import { mul } from "../ops/elementwise/index.ts";
import type { Device, DeviceName } from "../tensor/device.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { MemoryStore } from "./checkpoint-store.ts";
import { LossScaler } from "./loss-scaler.ts";
import { adamW, sgd } from "./optimizer.ts";
import { constantSchedule, cosineSchedule } from "./schedules.ts";
import { Trainer } from "./trainer.ts";
import type { TrainerOptions, TrainingMetrics } from "./trainer-options.ts";

const config = mambaConfig({ vocabSize: 16, dModel: 8, nLayer: 2, dState: 4, tieEmbeddings: false });
const task = (seed: number): BatchSource => inductionHeads({ length: 12, batch: 4, seed });

/** Rows that go on from step to step, anew every fourth. */
const stream: BatchSource = {
  vocabSize: 16,
  batch: (step) => {
    const ids = Int32Array.from({ length: 24 }, (_, i) => (i * i + 7 * step) % 16);
    return { ids, targets: ids.map((id) => (id + 3) % 16), batch: 4, length: 6, continues: step % 4 !== 0 };
  },
};

const devices = new Map<DeviceName, Device>();
async function deviceOf(name: DeviceName): Promise<Device> {
  if (!devices.has(name)) devices.set(name, await openDevice(name, { threads: 2 }));
  return devices.get(name)!;
}

async function newModel(name: DeviceName = "wasm"): Promise<MambaLM> {
  const device = await deviceOf(name);
  return MambaLM.create(config, { device, seed: 5, dtype: name === "reference" ? "float64" : "float32" });
}

async function weightsOf(model: MambaLM): Promise<number[]> {
  const all: number[] = [];
  for (const tensor of flattenParameters(model.parameters).values()) all.push(...(await tensor.read()));
  return all;
}

type Change = Partial<TrainerOptions>;

function options(model: MambaLM, change: Change): TrainerOptions {
  const steps = change.steps ?? 10;
  const schedule = cosineSchedule({ peak: 0.01, warmup: 2, steps: 10 });
  return { model, optimizer: adamW(), schedule, data: task(1), steps, clipNorm: 1, ...change };
}

async function collect(trainer: Trainer, count = Number.POSITIVE_INFINITY): Promise<TrainingMetrics[]> {
  const all: TrainingMetrics[] = [];
  for await (const metrics of trainer) {
    all.push(metrics);
    if (all.length >= count) break;
  }
  return all;
}

const losses = (all: readonly TrainingMetrics[]): unknown[] =>
  all.map(({ step, loss, gradNorm, validationLoss }) => [step, loss, gradNorm, validationLoss]);

describe("Trainer", () => {
  it.each<[string, DeviceName, () => Change]>([
    ["on the reference backend", "reference", () => ({})],
    ["with carried states in two micro-batches", "wasm", () => ({ data: stream, microBatches: 2, recompute: true })],
    [
      "with a moving average and validation",
      "wasm",
      () => ({ average: 0.9, validation: { data: task(2), every: 3, batches: 2 } }),
    ],
    ["with momentum", "wasm", () => ({ optimizer: sgd({ momentum: 0.9 }) })],
  ])("gives the same bits when it is interrupted twice, %s", async (_, device, change) => {
    const whole = await newModel(device);
    const expected = losses(await collect(new Trainer(options(whole, change()))));
    const store = new MemoryStore();
    const seen: unknown[] = [];
    let last: MambaLM | undefined;
    for (const count of [3, 4, 10]) {
      last = await newModel(device);
      const checkpoints = { store, every: 1000, resume: true };
      const trainer = new Trainer(options(last, { ...change(), checkpoints }));
      seen.push(...losses(await collect(trainer, count)));
      trainer.dispose();
    }
    expect(seen).toEqual(expected);
    expect(seen.length).toBe(10);
    expect(await weightsOf(last!)).toEqual(await weightsOf(whole));
  });

  it("reports what a step was like", async () => {
    const model = await newModel();
    const [first] = await collect(new Trainer(options(model, { steps: 1 })));
    expect(first).toMatchObject({ step: 1, learningRate: 0.005 });
    expect(Math.abs(first!.loss - Math.log(16))).toBeLessThan(0.6);
    expect(first!.gradNorm).toBeGreaterThan(0);
    expect(first!.tokensPerSecond).toBeGreaterThan(0);
    expect(first!.memory).toBeGreaterThan((await weightsOf(model)).length * 4);
  });

  it("gives the same step for any number of micro-batches, within rounding", async () => {
    const runs: TrainingMetrics[][] = [];
    for (const microBatches of [1, 2, 4]) {
      // rows with unequal numbers of targets: parts must weigh by their share
      const uneven: BatchSource = {
        vocabSize: 16,
        batch: (step) => {
          const batch = stream.batch(step) as Awaited<ReturnType<BatchSource["batch"]>>;
          return { ...batch, continues: false, targets: batch.targets.map((id, i) => (i < 9 ? -1 : id)) };
        },
      };
      runs.push(await collect(new Trainer(options(await newModel(), { data: uneven, steps: 3, microBatches }))));
    }
    for (const run of runs.slice(1)) {
      run.forEach(({ loss, gradNorm }, i) => {
        expect(Math.abs(loss / runs[0]![i]!.loss - 1)).toBeLessThan(1e-5);
        expect(Math.abs(gradNorm / runs[0]![i]!.gradNorm - 1)).toBeLessThan(1e-4);
      });
    }
  });

  it("keeps the best parameters and stops when validation gets no better", async () => {
    const store = new MemoryStore();
    const model = await newModel();
    // what is learnt makes other targets less likely: validation soon gets worse
    const other: BatchSource = {
      vocabSize: 16,
      batch: (step) => {
        const batch = stream.batch(step) as Awaited<ReturnType<BatchSource["batch"]>>;
        return { ...batch, targets: batch.targets.map((id) => (id + 1) % 16) };
      },
    };
    const trainer = new Trainer(
      options(model, {
        data: { ...stream, batch: () => stream.batch(0) },
        schedule: constantSchedule({ peak: 0.05 }),
        steps: 60,
        validation: { data: other, every: 2, batches: 1, patience: 3 },
        checkpoints: { store },
      }),
    );
    const all = await collect(trainer);
    const validations = all.flatMap(({ validationLoss }) => validationLoss ?? []);
    const best = Math.min(...validations);
    expect(all.length).toBeLessThan(60);
    expect(validations.indexOf(best)).toBe(validations.length - 4);
    expect(trainer.best).toEqual({ step: all.find(({ validationLoss }) => validationLoss === best)!.step, loss: best });
    expect([...store.files.keys()].sort()).toEqual(["best.safetensors", "last.safetensors"]);
    const measure = () => evaluateBatches(model, model.device, other, { batches: 1 });
    expect((await measure()).loss).toBeGreaterThan(best);
    expect(await trainer.loadBest()).toBe(true);
    expect((await measure()).loss).toBe(best);
  });

  it("counts right predictions of validation", async () => {
    const validation = { data: stream, every: 1, batches: 2, accuracy: true };
    const [first] = await collect(new Trainer(options(await newModel(), { steps: 1, validation })));
    expect(first!.validationAccuracy! * 48).toBeCloseTo(Math.round(first!.validationAccuracy! * 48), 9);
  });

  it("stops before the parameters are harmed when the loss diverges, and keeps the checkpoint", async () => {
    const store = new MemoryStore();
    const model = await newModel();
    const optimizer = sgd({ momentum: 0 });
    const schedule = (step: number): number => (step < 4 ? 1e-3 : 1e30);
    const trainer = new Trainer(
      options(model, { optimizer, schedule, clipNorm: undefined, checkpoints: { store, every: 2 } }),
    );
    await expect(collect(trainer)).rejects.toMatchObject({ code: "DIVERGED", facts: { step: 6 } });
    expect((await weightsOf(model)).every(Number.isFinite)).toBe(true);
    expect(optimizer.step).toBe(5);
    const again = new Trainer(options(model, { optimizer, checkpoints: { store, resume: true } }));
    expect((await collect(again))[0]!.step).toBe(5);
  });

  it("lowers the loss scale when gradients overflow, and does the same arithmetic at any scale", async () => {
    const plain = await collect(new Trainer(options(await newModel(), { steps: 4 })));
    const lossScaler = new LossScaler({ initial: 2 ** 12, growthInterval: 2 });
    const scaled = await collect(new Trainer(options(await newModel(), { steps: 4, lossScaler })));
    expect(losses(scaled)).toEqual(losses(plain));
    expect(lossScaler.scale).toBe(2 ** 14);

    const model = await newModel();
    // the loss is finite, the loss times the scale is not
    const loud = Object.create(model, {
      losses: {
        value: (...given: Parameters<MambaLM["losses"]>) => {
          const out = model.losses(...given);
          return { ...out, losses: mul(out.losses, 2 ** 113) };
        },
      },
      parameters: { value: model.parameters },
      vocabSize: { value: 16 },
    }) as MambaLM;
    const before = await weightsOf(model);
    const scaler = new LossScaler({ initial: 2 ** 16 });
    const optimizer = adamW();
    const trainer = new Trainer(options(loud, { optimizer, lossScaler: scaler, steps: 1, clipNorm: undefined }));
    const [skipped] = await collect(trainer);
    expect(skipped).toMatchObject({ skipped: true });
    expect([optimizer.step, scaler.scale]).toEqual([0, 2 ** 15]);
    expect(await weightsOf(model)).toEqual(before);
  });

  it("ends after the step at work when aborted, with a checkpoint", async () => {
    const store = new MemoryStore();
    const abort = new AbortController();
    const trainer = new Trainer(options(await newModel(), { checkpoints: { store }, signal: abort.signal }));
    const seen: number[] = [];
    const run = (async () => {
      for await (const { step } of trainer) {
        seen.push(step);
        if (step === 2) abort.abort();
      }
    })();
    await expect(run).rejects.toMatchObject({ code: "ABORTED" });
    expect(seen).toEqual([1, 2]);
    const resumed = new Trainer(options(await newModel(), { checkpoints: { store, resume: true } }));
    expect((await collect(resumed, 1))[0]!.step).toBe(3);
  });

  it("passes on that a checkpoint cannot be written, and leaves the one before", async () => {
    class FullStore extends MemoryStore {
      full = false;
      override write(...given: Parameters<MemoryStore["write"]>): Promise<void> {
        return this.full ? Promise.reject(new Error("no space")) : super.write(...given);
      }
    }
    const store = new FullStore();
    const trainer = new Trainer(options(await newModel(), { checkpoints: { store, every: 2 } }));
    const run = (async () => {
      for await (const { step } of trainer) store.full = step >= 2;
    })();
    await expect(run).rejects.toThrow("no space");
    const resumed = new Trainer(options(await newModel(), { checkpoints: { store, resume: true } }));
    store.full = false;
    expect((await collect(resumed, 1))[0]!.step).toBe(3);
  });

  it.each<[string, Change, RegExp]>([
    ["another optimizer", { optimizer: sgd() }, /with adamW and 2 micro-batches; got sgd/],
    ["a moving average that was not there", { average: 0.9 }, /average must be those of the run; .* is missing/],
    ["other micro-batches", { data: stream, microBatches: 4 }, /2 micro-batches; got adamW and 4/],
  ])("refuses to go on with %s", async (_, change, expected) => {
    const store = new MemoryStore();
    await collect(new Trainer(options(await newModel(), { data: stream, microBatches: 2, checkpoints: { store } })), 2);
    const trainer = new Trainer(options(await newModel(), { ...change, checkpoints: { store, resume: true } }));
    await expect(collect(trainer)).rejects.toMatchObject({ code: "STATE", message: expect.stringMatching(expected) });
  });

  it("refuses a checkpoint of another model, and a file that is none", async () => {
    const store = new MemoryStore();
    await collect(new Trainer(options(await newModel(), { steps: 1, checkpoints: { store } })));
    const wide = MambaLM.create(mambaConfig({ vocabSize: 16, dModel: 12, nLayer: 1 }), {
      device: await deviceOf("wasm"),
    });
    const checkpoints = { store, resume: true };
    const trainer = new Trainer(options(wide, { checkpoints }));
    await expect(collect(trainer)).rejects.toMatchObject({ code: "STATE" });
    store.files.set("last.safetensors", store.files.get("last.safetensors")!.subarray(0, 200));
    await expect(collect(new Trainer(options(wide, { checkpoints })))).rejects.toMatchObject({ code: "CHECKPOINT" });
  });

  it("warns when it goes on on another device", async () => {
    const store = new MemoryStore();
    await collect(new Trainer(options(await newModel(), { steps: 1, checkpoints: { store } })));
    const model = MambaLM.create(config, { device: await deviceOf("reference"), dtype: "float32" });
    const trainer = new Trainer(options(model, { steps: 2, checkpoints: { store, resume: true } }));
    expect((await collect(trainer)).length).toBe(1);
    expect(trainer.warnings).toEqual([expect.stringMatching(/another device \(wasm .*; this is reference/)]);
  });

  it.each<[Change, RegExp]>([
    [{ steps: 0 }, /steps must be a whole number from 1; got 0/],
    [{ microBatches: 1.5 }, /microBatches/],
    [{ clipNorm: 0 }, /clipNorm must be positive/],
    [{ average: 1 }, /decay must be from 0 to below 1/],
    [{ data: { vocabSize: 17, batch: stream.batch } }, /every id of the data, 17; it has 16/],
    [{ validation: { data: stream, every: 0 } }, /validation\.every/],
  ])("refuses %j", async (change, expected) => {
    const model = await newModel();
    expect(() => new Trainer(options(model, change))).toThrow(expected);
  });
});
