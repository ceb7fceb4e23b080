import { describe, expect, it } from "vitest";
import { fastBackends, maxError, normal, sharedDevice } from "../../../test/kit/test-op.ts";
import type { Device } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { linear } from "../linear/index.ts";
import { matmul } from "./index.ts";

/** Sizes of a product, and which sides are given transposed: with that go the programs that it takes. */
const shapes = {
  "few rows": { rows: 5, inner: 2048, columns: 132, transposeA: false, transposeB: true },
  "few columns": { rows: 132, inner: 2048, columns: 3, transposeA: false, transposeB: true },
  "both along the summed axis": { rows: 130, inner: 260, columns: 132, transposeA: false, transposeB: true },
  "only the left along the summed axis": { rows: 132, inner: 260, columns: 68, transposeA: false, transposeB: false },
  "neither along the summed axis": { rows: 132, inner: 133, columns: 100, transposeA: true, transposeB: false },
  "only the right along the summed axis": { rows: 100, inner: 260, columns: 70, transposeA: true, transposeB: true },
  "sums in parts": { rows: 72, inner: 1540, columns: 64, transposeA: true, transposeB: false },
  "large tiles, sums in parts": { rows: 132, inner: 4100, columns: 136, transposeA: false, transposeB: true },
  "whole tiles": { rows: 128, inner: 256, columns: 256, transposeA: false, transposeB: false },
  "sizes that are no multiples of four": { rows: 131, inner: 131, columns: 133, transposeA: false, transposeB: true },
} as const;

type Sizes = (typeof shapes)[keyof typeof shapes];

async function evaluate(device: Device, { rows, inner, columns, transposeA, transposeB }: Sizes): Promise<TypedArray> {
  const random = new Random(3);
  const dtype = device.name === "reference" ? "float64" : "float32";
  const draw = (shape: number[]) =>
    tensor(Float64Array.from(normal(random, shape), Math.fround), shape, { device, dtype });
  const a = draw(transposeA ? [inner, rows] : [rows, inner]);
  const b = draw(transposeB ? [columns, inner] : [inner, columns]);
  const y = matmul(a, b, { transposeA, transposeB });
  const values = await y.read();
  for (const made of [a, b, y]) made.dispose();
  return values;
}

/** Programs of large tiles are long, and compiled for the CPU where there is no card. */
const PATIENCE = 120_000;

describe.runIf(fastBackends.includes("webgpu"))("products on webgpu", { timeout: PATIENCE }, () => {
  it.each(Object.entries(shapes))("are those of float64: %s", async (_, sizes) => {
    const expected = await evaluate(await sharedDevice("reference"), sizes);
    expect(maxError(await evaluate(await sharedDevice("webgpu"), sizes), expected)).toBeLessThan(2e-6);
  });

  it.each(["few rows", "both along the summed axis", "large tiles, sums in parts"] as const)(
    "need no feature and no more than the default limits: %s",
    async (name) => {
      const expected = await evaluate(await sharedDevice("reference"), shapes[name]);
      const actual = await evaluate(await sharedDevice("plain webgpu"), shapes[name]);
      expect(maxError(actual, expected)).toBeLessThan(2e-6);
    },
  );

  it("add a bias, in few rows and in many", async () => {
    const read = async (name: "reference" | "webgpu", rows: number): Promise<TypedArray> => {
      const device = await sharedDevice(name);
      const random = new Random(4);
      const draw = (shape: number[]) =>
        tensor(Float64Array.from(normal(random, shape), Math.fround), shape, { device });
      return linear(draw([rows, 256]), draw([72, 256]), draw([72])).read();
    };
    for (const rows of [2, 64])
      expect(maxError(await read("webgpu", rows), await read("reference", rows))).toBeLessThan(2e-6);
  });
});
