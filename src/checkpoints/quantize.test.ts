import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { float16ToNumber } from "../tensor/dtype.ts";
import { CheckpointError, DtypeError, ShapeError } from "../tensor/errors.ts";
import { dequantizeMatrix, quantizeMatrix } from "../tensor/quantize.ts";
import { Random } from "../tensor/random.ts";
import { decodeBlocks, encodeBlocks } from "./quantize.ts";
import { readSafetensors } from "./safetensors.ts";

const golden = new URL("../../test/fixtures/ggml-blocks/blocks.safetensors", import.meta.url).pathname;
const formats = [
  { dtype: "int8", type: "q8_0" },
  { dtype: "int4", type: "q4_0" },
] as const;

async function goldenTensor(name: string): Promise<Float32Array | Uint8Array> {
  const file = await readSafetensors(golden);
  try {
    return (await file.tensors.get(name)!.read()) as Float32Array | Uint8Array;
  } finally {
    await file.close();
  }
}

const normal = (count: number, seed: number): Float32Array => {
  const random = new Random(seed);
  return Float32Array.from({ length: count }, () => random.normal());
};

describe.each(formats)("$dtype", ({ dtype, type }) => {
  it("rounds to the very bytes of llama.cpp's quantizer: ties, zeros, extremes and tiny scales included", async () => {
    const values = (await goldenTensor("values")) as Float32Array;
    const bytes = encodeBlocks(quantizeMatrix(values, 4, 256, dtype));
    expect(Buffer.from(bytes).equals(Buffer.from((await goldenTensor(`${type}.blocks`)) as Uint8Array))).toBe(true);
  });

  it("stands for the very values that llama.cpp reads", async () => {
    const blocks = (await goldenTensor(`${type}.blocks`)) as Uint8Array;
    const expected = await goldenTensor(`${type}.values`);
    expect(dequantizeMatrix(decodeBlocks(blocks, 4, 256, dtype))).toEqual(expected);
  });

  it("is as near as the scale allows", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: -3, max: 3 }), (seed, magnitude) => {
        const values = normal(64, seed).map((value) => value * 10 ** magnitude);
        const matrix = quantizeMatrix(values, 2, 32, dtype);
        const restored = dequantizeMatrix(matrix);
        values.forEach((value, i) => {
          const scale = Math.abs(float16ToNumber(matrix.scales[i >> 5]!));
          // half a step, or a whole one at int4's missing end +8; and as often as the value says, the rounding of the scale
          const rounding = Math.max(scale * 2 ** -11, 2 ** -25);
          const bound = dtype === "int8" ? scale / 2 + 127.5 * rounding : scale + 9 * rounding;
          expect(Math.abs(restored[i]! - value)).toBeLessThanOrEqual(bound * (1 + 1e-6));
        });
      }),
    );
  });

  it("keeps what it stands for when it is rounded again", () => {
    const once = dequantizeMatrix(quantizeMatrix(normal(256, 3), 8, 32, dtype));
    // the largest magnitude comes back up to the rounding of the scale to float16, the rest with it
    const twice = dequantizeMatrix(quantizeMatrix(once, 8, 32, dtype));
    once.forEach((value, i) => {
      expect(Math.abs(twice[i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -10);
    });
  });

  it("comes apart and together again as bytes", () => {
    const matrix = quantizeMatrix(normal(192, 4), 2, 96, dtype);
    expect(decodeBlocks(encodeBlocks(matrix), 2, 96, dtype)).toEqual(matrix);
  });

  it("refuses what has no blocks or no scale", () => {
    expect(() => quantizeMatrix(new Float32Array(48), 1, 48, dtype)).toThrow(ShapeError);
    expect(() => quantizeMatrix(new Float32Array(32), 2, 32, dtype)).toThrow(ShapeError);
    expect(() => decodeBlocks(new Uint8Array(34), 2, 32, dtype)).toThrow(CheckpointError);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e8]) {
      const values = new Float32Array(64);
      values[40] = bad;
      expect(() => quantizeMatrix(values, 2, 32, dtype)).toThrow(DtypeError);
    }
    expect(quantizeMatrix(new Float32Array(0), 0, 32, dtype).scales).toHaveLength(0);
  });
});

describe("layout", () => {
  it("int4: element j in the low half of byte j, element j + 16 in the high half", () => {
    const values = new Float32Array(32);
    values[0] = -8;
    values[3] = 2;
    values[19] = 5;
    const { scales, values: packed } = quantizeMatrix(values, 1, 32, "int4");
    expect(float16ToNumber(scales[0]!)).toBe(1);
    expect([packed[0], packed[3], packed[4]]).toEqual([0x80, 0xda, 0x88]);
  });

  it("int8: halves go away from zero", () => {
    const values = new Float32Array(32);
    values.set([127, 0.5, -0.5, 1.5, -1.5, 2.4999]);
    const { values: rounded } = quantizeMatrix(values, 1, 32, "int8");
    expect([...rounded.subarray(0, 6)]).toEqual([127, 1, -1, 2, -2, 2]);
  });
});
