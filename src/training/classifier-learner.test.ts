import { describe, expect, it } from "vitest";
import type { LabelledBatch, LabelledSource } from "../data/index.ts";
import { evaluateLabelled } from "../generation/index.ts";
import type { BatchNormParameters } from "../layers/batch-norm.ts";
import { Dropout } from "../layers/dropout.ts";
import { Linear } from "../layers/linear.ts";
import { type ClassifierModel, SequenceClassifier } from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import { mean } from "../ops/reduce/index.ts";
import { Random } from "../tensor/random.ts";
import { scope } from "../tensor/scope.ts";
import { tensor } from "../tensor/tensor.ts";
import { MemoryStore } from "./checkpoint-store.ts";
import { splitLabelled } from "./classifier-learner.ts";
import { adamW } from "./optimizer.ts";
import { constantSchedule } from "./schedules.ts";
import { shortRun } from "./short-run.ts";
import { Trainer } from "./trainer.ts";
import type { ClassifierTrainerOptions, TrainingMetrics } from "./trainer-options.ts";

const device = await openDevice("wasm", { threads: 1 });

/** The plainest classifier: a linear map of the mean over time, with dropout before it. */
function plainClassifier(classes = 2): ClassifierModel {
  const weight = tensor(new Float32Array(classes * 3), [classes, 3], { device });
  const bias = tensor(new Float32Array(classes), [classes], { device });
  const parameters = { decoder: { weight, bias } };
  const dropout = new Dropout(0.25);
  return {
    parameters,
    config: { classes },
    forward: (x, { random } = {}) =>
      scope(() => new Linear(parameters.decoder).forward(dropout.forward(mean(x, { axis: 1 }), random))),
  };
}

/** Class 1 has larger numbers in its first channel. */
function source(seed: number, rows = 4): LabelledSource {
  return {
    input: { inputSize: 3 },
    classes: 2,
    batch: (step): LabelledBatch => {
      const random = new Random(seed, step);
      const labels = Int32Array.from({ length: rows }, () => random.integer(2));
      const values = Float32Array.from({ length: rows * 5 * 3 }, (_, i) => {
        const isFirst = i % 3 === 0 && labels[Math.floor(i / 15)] === 1;
        return random.normal() + (isFirst ? 1 : 0);
      });
      return { batch: rows, length: 5, values, labels };
    },
  };
}

function options(change: Partial<ClassifierTrainerOptions> = {}): ClassifierTrainerOptions {
  const schedule = constantSchedule({ peak: 0.03 });
  return { classifier: plainClassifier(), optimizer: adamW(), schedule, steps: 8, data: source(1), ...change };
}

async function collect(trainer: Trainer, count = Number.POSITIVE_INFINITY): Promise<TrainingMetrics[]> {
  const all: TrainingMetrics[] = [];
  for await (const metrics of trainer) {
    all.push(metrics);
    if (all.length >= count) break;
  }
  trainer.dispose();
  return all;
}

const losses = (all: readonly TrainingMetrics[]): unknown[] =>
  all.map(({ step, loss, gradNorm, validationLoss, validationAuroc }) => [
    ...[step, loss, gradNorm],
    ...[validationLoss, validationAuroc],
  ]);

describe("a trainer of classifiers", () => {
  it("learns, and says how well classes are told", async () => {
    const validation = { data: source(9, 50), every: 40, batches: 4 };
    const all = await collect(new Trainer(options({ steps: 40, data: source(1, 32), validation })));
    expect(all[0]!.loss).toBeCloseTo(Math.log(2), 6);
    const { validationLoss, validationAccuracy, validationAuroc } = all[39]!;
    expect(validationLoss).toBeLessThan(0.45);
    expect(validationAccuracy).toBeGreaterThan(0.8);
    // means of five numbers that differ by 1: a distance of 5^0.5 deviations, an area of Phi(5^0.5 / 2^0.5) = 0.943
    expect(Math.abs(validationAuroc! - 0.943)).toBeLessThan(0.05);
  });

  it("gives the same bits when it is interrupted", async () => {
    const validation = { data: source(9), every: 3, batches: 2 };
    const change = { validation, microBatches: 2, seed: 3 };
    const expected = losses(await collect(new Trainer(options(change))));
    const checkpoints = { store: new MemoryStore(), resume: true };
    const seen = losses(await collect(new Trainer(options({ ...change, checkpoints })), 5));
    seen.push(...losses(await collect(new Trainer(options({ ...change, checkpoints })))));
    expect(seen).toEqual(expected);
    const other = losses(await collect(new Trainer(options({ ...change, seed: 4 }))));
    expect(other).not.toEqual(expected);
  });

  it("goes on with the running values of batch norm", async () => {
    const classifier = (): SequenceClassifier => {
      const sizes = { inputSize: 3, classes: 2, dModel: 4, nLayer: 1, norm: "batch", prenorm: true } as const;
      const mixer = { kind: "s4", structure: "diagonal", dState: 4 } as const;
      return SequenceClassifier.create({ ...sizes, mixer }, { device, seed: 2 });
    };
    const validation = { data: source(9), every: 2, batches: 1 };
    const run = (more: object = {}): ClassifierTrainerOptions =>
      options({ classifier: classifier(), validation, steps: 4, ...more });
    const expected = losses(await collect(new Trainer(run())));
    const checkpoints = { store: new MemoryStore(), resume: true };
    const seen = losses(await collect(new Trainer(run({ checkpoints })), 2));
    const resumed = run({ checkpoints });
    seen.push(...losses(await collect(new Trainer(resumed))));
    expect(seen).toEqual(expected);
    const { runningMean } = (resumed.classifier as SequenceClassifier).parameters.layers[0]!
      .norm as BatchNormParameters;
    expect(Math.max(...((await runningMean.read()) as Float32Array))).not.toBe(0);
  });

  it("refuses data with classes that the model has not", () => {
    expect(() => new Trainer(options({ data: { ...source(1), classes: 3 } }))).toThrow(
      /every class of the data, 3; it/,
    );
  });

  it("learns a batch by heart in a short run", async () => {
    const batch = await source(5).batch(0);
    const run = { classifier: plainClassifier(), batch: () => batch, optimizer: adamW({ weightDecay: 0 }) };
    const seen = await shortRun({ ...run, schedule: constantSchedule({ peak: 0.3 }), steps: 60 });
    expect(seen[0]).toBeCloseTo(Math.log(2), 6);
    expect(seen.at(-1)).toBeLessThan(0.1);
  });
});

describe("splitLabelled", () => {
  it("shares out all that a batch has", () => {
    const numbers = (count: number) => Float32Array.from({ length: count }, (_, i) => i);
    const labels = Int32Array.of(0, 1, 2, 3);
    const whole = { batch: 4, length: 2, labels, lengths: labels, values: numbers(24), deltas: numbers(8) };
    const [, second] = splitLabelled(whole, 2);
    expect(second).toEqual({
      ...{ batch: 2, length: 2, labels: Int32Array.of(2, 3), lengths: Int32Array.of(2, 3) },
      ...{ values: numbers(24).subarray(12), deltas: numbers(8).subarray(4) },
    });
    expect(() => splitLabelled(whole, 3)).toThrow(/share the rows evenly; got 3 for 4/);
  });
});

describe("evaluateLabelled", () => {
  it("weighs sequences alike, whatever batch they are in", async () => {
    const sizes = [3, 1];
    const data: LabelledSource = {
      ...{ input: { inputSize: 3 }, classes: 3 },
      batch: (step) => ({
        ...{ batch: sizes[step]!, length: 1, values: new Float32Array(3 * sizes[step]!) },
        labels: new Int32Array(sizes[step]!).fill(step),
      }),
    };
    const model = plainClassifier(3);
    const result = await evaluateLabelled(model, device, data, { batches: 2 });
    // equal logits: the first class is chosen
    expect(result).toEqual({ loss: expect.closeTo(Math.log(3), 12), accuracy: 0.75, count: 4 });
  });
});
