import { describe, expect, it } from "vitest";
import { inductionHeads } from "../data/index.ts";
import { MambaLM, mambaConfig } from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import type { Device, MatmulPrecision } from "../tensor/device.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { openTrainingCheckpoint } from "./checkpoint.ts";
import { MemoryStore } from "./checkpoint-store.ts";
import { adamW, cosineSchedule, shortRun, Trainer, type TrainerOptions } from "./index.ts";

const config = mambaConfig({ vocabSize: 16, dModel: 8, nLayer: 2, dState: 4 });
const data = inductionHeads({ length: 12, batch: 4, seed: 1 });
const schedule = cosineSchedule({ peak: 0.01, warmup: 2, steps: 10 });

/** A device that says it multiplies in float16; it rounds nothing, so that mixed precision changes no bit. */
async function openGenerous(): Promise<Device> {
  const device = await openDevice("wasm", { threads: 1 });
  const matmulPrecisions: MatmulPrecision[] = ["float32", "float16"];
  return Object.defineProperty(device, "matmulPrecisions", { value: matmulPrecisions });
}

function newModel(device: Device): MambaLM {
  return MambaLM.create(config, { device, seed: 5 });
}

async function lossesOf(options: Partial<TrainerOptions> & Pick<TrainerOptions, "model" | "steps">): Promise<number[]> {
  const all: number[] = [];
  const trainer = new Trainer({ optimizer: adamW(), schedule, data, clipNorm: 1, ...options });
  for await (const { loss } of trainer) all.push(loss);
  return all;
}

async function weightsOf(model: MambaLM): Promise<number[]> {
  const all: number[] = [];
  for (const tensor of flattenParameters(model.parameters).values()) all.push(...(await tensor.read()));
  return all;
}

describe("mixed precision", () => {
  it("is refused by devices that multiply in float32 alone, with what to do", async () => {
    const device = await openDevice("wasm", { threads: 1 });
    const model = newModel(device);
    await expect(lossesOf({ model, steps: 1, precision: "mixed" })).rejects.toThrow(
      /^Trainer: precision "mixed" needs a device that multiplies .*; wasm \(WebAssembly\) has float32 alone; use precision "float32"/,
    );
    const short = shortRun({ model, optimizer: adamW(), schedule, steps: 1, batch: data.batch, precision: "mixed" });
    await expect(short).rejects.toMatchObject({ name: "ConfigError" });
    device.dispose();
  });

  it("asks for float16 products during steps alone, scales the loss, and goes on with the scale", async () => {
    const device = await openGenerous();
    const plain = newModel(device);
    const expected = await lossesOf({ model: plain, steps: 4 });
    const seen: MatmulPrecision[] = [];
    const watched = (): MambaLM => {
      const model = newModel(device);
      const { losses } = model;
      return Object.defineProperty(model, "losses", {
        value: (...given: Parameters<MambaLM["losses"]>) => {
          seen.push(device.matmulPrecision);
          return losses.apply(model, given);
        },
      });
    };
    const store = new MemoryStore();
    const first = await lossesOf({ model: watched(), steps: 2, precision: "mixed", checkpoints: { store } });
    const resumed = watched();
    const checkpoints = { store, resume: true };
    const second = await lossesOf({ model: resumed, steps: 4, precision: "mixed", checkpoints });
    // a power of two as loss scale leaves every bit as it is
    expect([...first, ...second]).toEqual(expected);
    expect(await weightsOf(resumed)).toEqual(await weightsOf(plain));
    expect(seen).toEqual(Array(4).fill("float16"));
    expect(device.matmulPrecision).toBe("float32");
    const saved = await openTrainingCheckpoint((await store.open("last.safetensors"))!);
    expect(saved.progress.lossScale).toEqual({ scale: 65536, good: 4 });
    device.dispose();
  });
});
