import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "#platform";
import { readSafetensors, type TensorFile, toOwnName } from "../src/checkpoints/index.ts";
import { openDevice } from "../src/ops/devices.ts";
import { div } from "../src/ops/elementwise/index.ts";
import { sum } from "../src/ops/reduce/index.ts";
import { loadMamba } from "../src/pretrained/load-mamba.ts";
import type { Device, DeviceName } from "../src/tensor/device.ts";
import { convertArray } from "../src/tensor/dtype.ts";
import { flattenParameters } from "../src/tensor/parameters.ts";
import { type Tensor, tensor } from "../src/tensor/tensor.ts";
import {
  adamW,
  cosineSchedule,
  LossScaler,
  readStep,
  type TrainingPrecision,
  trainStep,
} from "../src/training/index.ts";
import { useSoftwareGpu } from "./kit/software-gpu.ts";

const folder = new URL("fixtures/training-curve", import.meta.url).pathname;
let golden: TensorFile;
beforeAll(async () => {
  golden = await readSafetensors(`${folder}/golden.safetensors`);
});
afterAll(() => golden.close());

async function read(key: string): Promise<Float64Array> {
  const entry = golden.tensors.get(key)!;
  return convertArray(await entry.read(), entry.dtype, "float64") as Float64Array;
}

async function open(name: DeviceName): Promise<Device> {
  if (name === "webgpu") await useSoftwareGpu();
  return openDevice(name, { threads: 2 });
}

interface Curve {
  readonly losses: number[];
  readonly norms: number[];
  readonly weights: ReadonlyMap<string, ArrayLike<number>>;
}

/** Takes the steps that PyTorch took, or the first `most` of them. */
async function curveOf(
  device: Device,
  { precision, most = 40 }: { precision?: TrainingPrecision; most?: number } = {},
): Promise<Curve> {
  const { model } = await loadMamba(await openFolder(folder), { device, pack: false });
  const optimizer = adamW({ betas: [0.9, 0.95], weightDecay: 0.1 });
  const schedule = cosineSchedule({ peak: 3e-3, warmup: 10, steps: 40, end: 3e-4 });
  const scaler = precision === "mixed" ? new LossScaler() : undefined;
  const [, batch, length] = golden.tensors.get("batches")!.shape as [number, number, number];
  const ids = await read("batches");
  const [losses, norms]: number[][] = [[], []];
  for (let step = 0; step < most; step++) {
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
    const settings = { optimizer, learningRate: schedule(step), clipNorm: 1, precision, lossScale: scaler?.scale };
    const { loss, gradNorm } = await readStep(trainStep(model.parameters, [objective], settings));
    if (!Number.isFinite(gradNorm)) optimizer.uncount();
    scaler?.update(!Number.isFinite(gradNorm));
    losses!.push(loss);
    norms!.push(gradNorm);
    for (const made of [input, target]) made.dispose();
  }
  const weights = new Map<string, ArrayLike<number>>();
  for (const [name, weight] of flattenParameters(model.parameters)) weights.set(name, await weight.read());
  optimizer.dispose();
  model.dispose();
  expect(device.memory().buffers).toBe(0);
  return { losses: losses!, norms: norms!, weights };
}

/** Largest relative difference. */
function off(actual: readonly number[], expected: ArrayLike<number>): number {
  expect(actual).toHaveLength(expected.length);
  return actual.reduce((most, value, i) => Math.max(most, Math.abs(value / expected[i]! - 1)), 0);
}

const isCard = process.env["MAMBA_TEST_GPU"] === "system";

for (const name of ["reference", "wasm"] as const) {
  // the tests of a card are about the card
  describe.skipIf(isCard)(`the training curve of PyTorch on ${name}`, () => {
    it("has every loss, every gradient norm and the final weights", async () => {
      const device = await open(name);
      const { losses, norms, weights } = await curveOf(device);
      device.dispose();
      expect(off(losses, await read("losses"))).toBeLessThan(1e-4);
      expect(off(norms, await read("grad_norms"))).toBeLessThan(1e-3);
      let worst = 0;
      for (const key of golden.tensors.keys()) {
        if (!key.startsWith("final.")) continue;
        const [actual, expected] = [weights.get(toOwnName(key.slice("final.".length))!)!, await read(key)];
        expected.forEach((value, i) => {
          worst = Math.max(worst, Math.abs(value - actual[i]!));
        });
      }
      // measured 2.4e-7 in float64; 2.4e-6 in float32, where Adam makes the rounding of gradients near zero large
      expect(worst).toBeLessThan(name === "reference" ? 1e-5 : 1e-4);
    }, 120_000);
  });
}

describe("the training curve of PyTorch on webgpu", () => {
  it("has its losses and gradient norms", async () => {
    const device = await open("webgpu");
    // a GPU made of software takes seconds a step
    const most = isCard ? 40 : 2;
    const { losses, norms } = await curveOf(device, { most });
    device.dispose();
    expect(off(losses, (await read("losses")).slice(0, most))).toBeLessThan(1e-4);
    expect(off(norms, (await read("grad_norms")).slice(0, most))).toBeLessThan(1e-3);
  }, 120_000);

  // only cards multiply in float16
  it.runIf(isCard)(
    "stays within 2 % of float32 and ends no worse",
    async () => {
      const device = await open("webgpu");
      const [plain, mixed] = [await curveOf(device), await curveOf(device, { precision: "mixed" })];
      device.dispose();
      expect(off(mixed.losses, plain.losses)).toBeLessThan(0.02);
      const end = ({ losses }: Curve): number => losses.slice(-5).reduce((total, loss) => total + loss, 0) / 5;
      expect(end(mixed)).toBeLessThan(1.001 * end(plain));
    },
    120_000,
  );
});
