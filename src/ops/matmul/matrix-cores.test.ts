import { afterAll, describe, expect, it } from "vitest";
import { openEmulatedMatrixCores } from "../../../test/kit/emulated-matrix-cores.ts";
import { fastBackends, maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { linear } from "../linear/index.ts";
import { linearCrossEntropy } from "../linear-cross-entropy/index.ts";
import { slice } from "../movement/index.ts";
import { matmul } from "./index.ts";

/** Numbers that float16 holds, so that only the order of sums differs from float64. */
const coarse = (random: Random, count: number): Float32Array =>
  Float32Array.from(random.normals(count), (x) => Math.round(Math.max(-3, Math.min(3, x)) * 64) / 64);

const shapes = {
  "both along the summed axis": { rows: 130, inner: 100, columns: 140, transposeA: false, transposeB: true },
  "neither along the summed axis": { rows: 76, inner: 130, columns: 132, transposeA: true, transposeB: false },
  "whole tiles": { rows: 128, inner: 64, columns: 256, transposeA: true, transposeB: true },
  "sums in parts": { rows: 80, inner: 3000, columns: 48, transposeA: true, transposeB: false },
  "no multiples of four, copied": { rows: 133, inner: 131, columns: 135, transposeA: false, transposeB: true },
  "a side that is read often, copied": { rows: 8200, inner: 36, columns: 20, transposeA: false, transposeB: true },
} as const;

type Sizes = (typeof shapes)[keyof typeof shapes];

async function product(device: Device, { rows, inner, columns, transposeA, transposeB }: Sizes): Promise<TypedArray> {
  const random = new Random(3);
  const draw = (shape: [number, number]) => tensor(coarse(random, shape[0] * shape[1]), shape, { device });
  const a = draw(transposeA ? [inner, rows] : [rows, inner]);
  const b = draw(transposeB ? [columns, inner] : [inner, columns]);
  return matmul(a, b, { transposeA, transposeB }).read();
}

/** Programs are long, and compiled for the CPU here. */
const PATIENCE = 120_000;

// a card has matrix cores of its own, which the ops' tests then use
describe.runIf(fastBackends.includes("webgpu") && process.env["MAMBA_TEST_GPU"] !== "system")(
  "matrix cores",
  { timeout: PATIENCE },
  () => {
    let opened: Device | undefined;
    const cores = async (): Promise<Device> => {
      await sharedDevice("webgpu");
      opened ??= await openEmulatedMatrixCores();
      return opened;
    };
    afterAll(() => opened?.dispose());

    it.each(Object.entries(shapes))("multiply as float64 does: %s", async (_, sizes) => {
      const expected = await product(await sharedDevice("reference"), sizes);
      expect(maxError(await product(await cores(), sizes), expected)).toBeLessThan(1e-6);
    });

    it("add a bias, to rows that begin anywhere", async () => {
      const read = async (device: Device): Promise<TypedArray> => {
        const random = new Random(4);
        const draw = (shape: number[]) =>
          tensor(
            coarse(
              random,
              shape.reduce((p, n) => p * n, 1),
            ),
            shape,
            { device },
          );
        const x = slice(draw([40, 70]), { axis: 1, start: 3, end: 67 });
        return linear(x, draw([75, 64]), draw([75])).read();
      };
      expect(maxError(await read(await cores()), await read(await sharedDevice("reference")))).toBeLessThan(1e-6);
    });

    it("keep what is not a number in its row", async () => {
      const device = await cores();
      const a = new Float32Array(20 * 36).fill(1);
      for (const row of [3, 19]) a[row * 36 + 35] = Number.NaN;
      const b = tensor(new Float32Array(20 * 36).fill(2), [20, 36], { device });
      const y = await matmul(tensor(a, [20, 36], { device }), b, { transposeB: true }).read();
      y.forEach((value, i) => {
        expect(value).toBe([3, 19].includes(Math.floor(i / 20)) ? Number.NaN : 72);
      });
    });

    it("give losses and their gradients, in classes that are no whole vectors", async () => {
      const [tokens, inner, vocabulary] = [150, 24, 301];
      const evaluate = async (name: "reference" | "cores"): Promise<TypedArray[]> => {
        const device = name === "cores" ? await cores() : await sharedDevice(name);
        const random = new Random(5);
        const x = tensor(coarse(random, tokens * inner), [tokens, inner], { device });
        const weight = tensor(coarse(random, vocabulary * inner), [vocabulary, inner], { device });
        const ids = Int32Array.from({ length: tokens }, (_, i) => (i % 9 === 0 ? -1 : (i * 79) % vocabulary));
        const targets = tensor(ids, [tokens], { device });
        const { value, gradients } = valueAndGrad(
          () => linearCrossEntropy(x, weight, targets, { reduction: "sum" }).loss,
          { x, weight },
        );
        return Promise.all([value.read(), gradients.x.read(), gradients.weight.read()]);
      };
      const expected = await evaluate("reference");
      for (const [i, values] of (await evaluate("cores")).entries()) {
        expect(maxError(values, expected[i]!)).toBeLessThan(i === 0 ? 1e-6 : 1e-3);
      }
    });
  },
);

// takes long to compile for a CPU
describe.runIf(fastBackends.includes("webgpu") && process.env["MAMBA_TEST_GPU"] === "system")("a card", () => {
  it.each([5, 16, 40, 64])("multiplies %i rows by many columns of float16 weights", async (rows) => {
    const device = await sharedDevice("webgpu");
    const read = async (on: Device): Promise<TypedArray> => {
      const random = new Random(7);
      const draw = (count: number, shape: number[]) => tensor(coarse(random, count), shape, { device: on });
      const x = draw(rows * 192, [rows, 192]);
      const w = draw(2060 * 192, [2060, 192]);
      return linear(x, on === device ? cast(w, "float16") : w, draw(2060, [2060])).read();
    };
    const expected = await read(await sharedDevice("reference"));
    device.matmulPrecision = "float16";
    try {
      expect(maxError(await read(device), expected)).toBeLessThan(1e-6);
    } finally {
      device.matmulPrecision = "float32";
    }
  });
});
