import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openUrlFolder, openUrlSource } from "#platform";
import { readSafetensors, type TensorFile } from "../../../src/checkpoints/index.ts";
import { openDevice } from "../../../src/ops/devices.ts";
import { div } from "../../../src/ops/elementwise/index.ts";
import { sum } from "../../../src/ops/reduce/index.ts";
import { loadMamba } from "../../../src/pretrained/load-mamba.ts";
import type { Device } from "../../../src/tensor/device.ts";
import { convertArray } from "../../../src/tensor/dtype.ts";
import { type Tensor, tensor } from "../../../src/tensor/tensor.ts";
import { adamW, cosineSchedule, readStep, trainStep } from "../../../src/training/index.ts";

const fixtures = new URL("../../fixtures", import.meta.url);
const fixture = (name: string): URL => new URL(`${name}/`, `${fixtures}/`);

async function openGolden(name: string): Promise<TensorFile> {
  return readSafetensors(await openUrlSource(new URL("golden.safetensors", fixture(name))));
}

async function read(golden: TensorFile, key: string): Promise<Float64Array> {
  const entry = golden.tensors.get(key)!;
  return convertArray(await entry.read(), entry.dtype, "float64") as Float64Array;
}

describe("models on the browser's WebGPU", { timeout: 120_000 }, () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice("webgpu");
  });
  afterAll(() => device.dispose());

  it("leaves SwiftShader alone where the choice is free", async () => {
    const own = await openDevice("auto", { threads: 0 });
    expect(own.name).toBe("wasm");
    own.dispose();
  });

  it("have the logits of the official code", async () => {
    const golden = await openGolden("hf-mamba-tied");
    const { model } = await loadMamba(openUrlFolder(fixture("hf-mamba-tied")), { device });
    const ids = tensor(Int32Array.from(await read(golden, "input_ids")), golden.tensors.get("input_ids")!.shape, {
      device,
    });
    const { logits, state } = model.forward(ids, { logits: "all" });
    const [actual, expected] = [await logits!.read(), await read(golden, "logits")];
    expect(actual.length).toBe(expected.length);
    expect(expected.reduce((most, value, i) => Math.max(most, Math.abs(value - actual[i]!)), 0)).toBeLessThan(1e-4);
    for (const one of [ids, logits!, state, model]) one.dispose();
    expect(device.memory().buffers).toBe(0);
  });

  it("take the steps of training that PyTorch takes", async () => {
    const golden = await openGolden("training-curve");
    const { model } = await loadMamba(openUrlFolder(fixture("training-curve")), { device, pack: false });
    const optimizer = adamW({ betas: [0.9, 0.95], weightDecay: 0.1 });
    const schedule = cosineSchedule({ peak: 3e-3, warmup: 10, steps: 40, end: 3e-4 });
    const [, batch, length] = golden.tensors.get("batches")!.shape as [number, number, number];
    const ids = await read(golden, "batches");
    const [losses, norms] = [await read(golden, "losses"), await read(golden, "grad_norms")];
    for (let step = 0; step < 2; step++) {
      const rows = (shift: number): Tensor => {
        const at = (i: number): number => (step * batch + Math.floor(i / (length - 1))) * length + (i % (length - 1));
        const data = Int32Array.from({ length: batch * (length - 1) }, (_, i) => ids[at(i) + shift]!);
        return tensor(data, [batch, length - 1], { device });
      };
      const [input, target] = [rows(0), rows(1)];
      const objective = (): Tensor => {
        const out = model.losses(input, target);
        return div(sum(out.losses), sum(out.valid));
      };
      const settings = { optimizer, learningRate: schedule(step), clipNorm: 1 };
      const { loss, gradNorm } = await readStep(trainStep(model.parameters, [objective], settings));
      expect(Math.abs(loss / losses[step]! - 1)).toBeLessThan(1e-4);
      expect(Math.abs(gradNorm / norms[step]! - 1)).toBeLessThan(1e-3);
      for (const one of [input, target]) one.dispose();
    }
    optimizer.dispose();
    model.dispose();
    expect(device.memory().buffers).toBe(0);
  });
});
