import { describe, expect, it } from "vitest";
import { fastBackends, maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { type DType, float16ToNumber, numberToFloat16 } from "../../tensor/dtype.ts";
import { DtypeError, ShapeError } from "../../tensor/errors.ts";
import { dequantizeMatrix, quantizeMatrix, roundActivations } from "../../tensor/quantize.ts";
import { quantizedTensor } from "../../tensor/quantized-tensor.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { openDevice } from "../devices.ts";
import { embedding } from "../embedding/index.ts";
import { linearCrossEntropy } from "../linear-cross-entropy/index.ts";
import { slice } from "../movement/index.ts";
import { sum } from "../reduce/index.ts";
import { linear, packWeight, unpackWeight } from "./index.ts";

const types = ["float16", "bfloat16", "int8", "int4"] as const;
const blockTypes = ["int8", "int4"] as const;
const onWasm = fastBackends.includes("wasm");

/** Normal values, some blocks of them far larger or smaller than others. */
function draw(count: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: count }, (_, i) => random.normal() * 10 ** (((i >> 5) % 5) - 2));
}

async function make(device: "reference" | "wasm", values: ArrayLike<number>, shape: number[]): Promise<Tensor> {
  return tensor(Float32Array.from(values), shape, { device: await sharedDevice(device) });
}

describe("weights of smaller types", () => {
  describe.each(types)("%s", (dtype) => {
    // one row, a few, many; panels that are not full; K of one block, of an odd number, past what is summed at once
    const shapes = [
      [1, 32, 8],
      [1, 96, 77],
      [2, 64, 21],
      [3, 416, 40],
      [4, 128, 33],
      [5, 32, 1],
      [23, 160, 100],
      [150, 1056, 36],
    ] as const;
    it.runIf(onWasm).each(shapes)(
      "is multiplied as in float64: [%i %i] by %i columns",
      async (rows, inner, columns) => {
        const [x, w, bias] = [draw(rows * inner, 1), draw(columns * inner, 2), draw(columns, 3)];
        const results: Record<string, ArrayLike<number>> = {};
        for (const device of ["reference", "wasm"] as const) {
          const packed = packWeight(await make(device, w, [columns, inner]), dtype);
          expect(packed.dtype).toBe(dtype);
          const [given, added] = [await make(device, x, [rows, inner]), await make(device, bias, [columns])];
          results[device] = await linear(given, packed, added).read();
          results[`${device} plain`] = await linear(given, packed).read();
          results[`${device} values`] = await unpackWeight(packed).read();
        }
        expect(results["wasm values"]).toEqual(results["reference values"]);
        expect(maxError(results["wasm"] as Float32Array, results["reference"] as Float32Array)).toBeLessThan(1e-5);
        expect(
          maxError(results["wasm plain"] as Float32Array, results["reference plain"] as Float32Array),
        ).toBeLessThan(2e-6);
      },
    );

    it.runIf(onWasm).each([true, false])(
      "gives the same bits for any number of threads and rows, relaxed SIMD %s",
      async (relaxedSimd) => {
        const [inner, columns] = [416, 100];
        const [values, given] = [draw(columns * inner, 5), draw(33 * inner, 4)];
        const reference = packWeight(await make("reference", values, [columns, inner]), dtype);
        const expected = await linear(await make("reference", given, [33, inner]), reference).read();
        let first: ArrayLike<number> | undefined;
        for (const threads of [0, 1, 2, 3]) {
          using device = await openDevice("wasm", { threads, relaxedSimd });
          const w = packWeight(tensor(values, [columns, inner], { device }), dtype);
          const x = tensor(given, [33, inner], { device });
          const whole = await linear(x, w).read();
          first ??= whole;
          expect(whole, `${threads} threads`).toEqual(first);
          for (const [start, end] of [
            [0, 1],
            [7, 9],
            [9, 12],
            [12, 16],
            [16, 21],
          ] as const) {
            const rows = await linear(slice(x, { start, end }), w).read();
            expect(rows, `rows ${start} to ${end}`).toEqual(whole.slice(start * columns, end * columns));
          }
        }
        expect(maxError(first as Float32Array, expected)).toBeLessThan(2e-6);
      },
    );

    it.runIf(onWasm)("is looked up as in float64", async () => {
      const ids = Int32Array.of(12, 0, 7, 8, 12);
      const table = draw(13 * 64, 6);
      const rows = async (name: "reference" | "wasm"): Promise<ArrayLike<number>> => {
        const device = await sharedDevice(name);
        const packed = packWeight(await make(name, table, [13, 64]), dtype);
        return embedding(packed, tensor(ids, [5], { device })).read();
      };
      expect(await rows("wasm")).toEqual(await rows("reference"));
    });

    it.runIf(onWasm)("is a head under cross-entropy as in float64, with a gradient for x", async () => {
      const [x, w] = [draw(9 * 64, 7).map((value) => value / 100), draw(45 * 64, 8).map((value) => value / 100)];
      const targets = Int32Array.from({ length: 9 }, (_, i) => (i * 5) % 41);
      const results = async (name: "reference" | "wasm"): Promise<Float32Array[]> => {
        const device = await sharedDevice(name);
        const packed = packWeight(await make(name, w, [45, 64]), dtype);
        const rows = await make(name, x, [9, 64]);
        const options = { vocabSize: 41, tokenChunk: 4, rowChunk: 16 };
        const { value, gradients } = valueAndGrad(
          ({ rows }) => linearCrossEntropy(rows, packed, tensor(targets, [9], { device }), options).loss,
          { rows },
        );
        return Promise.all([value, gradients.rows].map((made) => made.read() as Promise<Float32Array>));
      };
      const [actual, expected] = [await results("wasm"), await results("reference")];
      for (const [i, values] of actual.entries()) expect(maxError(values, expected[i]!)).toBeLessThan(1e-5);
    });

    it.each(["reference", ...(onWasm ? ["wasm"] : [])] as const)("has no gradient on %s, x has one", async (name) => {
      const [x, w] = [
        await make(name as "wasm", draw(64, 9), [2, 32]),
        await make(name as "wasm", draw(160, 10), [5, 32]),
      ];
      expect(() => valueAndGrad(({ w }) => sum(linear(x, packWeight(w, dtype))), { w })).toThrow(
        expect.objectContaining({ code: "PACKED_GRADIENT" }),
      );
      const packed = packWeight(w, dtype);
      const { gradients } = valueAndGrad(({ x }) => sum(linear(x, packed)), { x });
      const values = (await unpackWeight(packed).read()) as Float32Array;
      const expected = Float32Array.from({ length: 64 }, (_, i) => {
        let total = 0;
        for (let row = 0; row < 5; row++) total += values[row * 32 + (i % 32)]!;
        return total;
      });
      expect(maxError(await gradients.x.read(), expected)).toBeLessThan(1e-6);
    });
  });

  describe.each(blockTypes)("%s", (dtype) => {
    it.each(["reference", ...(onWasm ? ["wasm"] : [])] as const)(
      "is rounded on %s to the bits of quantizeMatrix",
      async (name) => {
        const values = draw(19 * 96, 11);
        values.set([0.5, -0.5, 127, -8, 8, 0, 1e-12], 0);
        values.fill(0, 32, 64);
        values.set([-3, 3], 64);
        values.fill(1e-7, 96, 128);
        const expected = quantizeMatrix(values, 19, 96, dtype);
        const device = await sharedDevice(name as "wasm");
        const rounded = packWeight(await make(name as "wasm", values, [19, 96]), dtype);
        expect(await rounded.read()).toEqual(dequantizeMatrix(expected));
        const uploaded = quantizedTensor(expected, { device });
        expect(await uploaded.read()).toEqual(dequantizeMatrix(expected));
        expect(await packWeight(uploaded).read()).toEqual(dequantizeMatrix(expected));
      },
    );

    it("is a product of whole numbers and scales", async () => {
      const x = await make("reference", draw(2 * 64, 12), [2, 64]);
      const w = draw(3 * 64, 13);
      const y = await linear(x, packWeight(await make("reference", w, [3, 64]), dtype)).read();
      const [a, b] = [roundActivations(await x.read()), dequantizeMatrix(quantizeMatrix(w, 3, 64, dtype))];
      const expected = Float32Array.from({ length: 6 }, (_, i) => {
        let total = 0;
        for (let k = 0; k < 64; k++) total += a[(i >= 3 ? 64 : 0) + k]! * b[(i % 3) * 64 + k]!;
        return total;
      });
      expect(maxError(y, expected)).toBeLessThan(1e-7);
    });

    it.runIf(onWasm)("takes the bytes that it says", async () => {
      using device = await openDevice("wasm", { threads: 0 });
      const w = tensor(draw(64 * 96, 14), [64, 96], { device });
      const before = device.memory().used;
      const packed = packWeight(w, dtype);
      expect(device.memory().used - before).toBe(((64 * 96) / 32) * (dtype === "int8" ? 34 : 18));
      packed.dispose();
      expect(device.memory().used).toBe(before);
    });
  });
});

describe("what cannot be", () => {
  it.each(blockTypes)("%s needs columns in blocks", async (dtype) => {
    const w = await make("reference", draw(40, 1), [1, 40]);
    expect(() => packWeight(w, dtype)).toThrow(ShapeError);
    expect(() => packWeight(w, dtype)).toThrow(
      "packWeight: columns must be a multiple of 32, the size of a block; got [1 40]; keep this matrix in float16 or float32",
    );
  });

  it("is no type of single elements", async () => {
    const device = await sharedDevice("reference");
    expect(() => tensor([1, 2], [2], { device, dtype: "int8" })).toThrowErrorMatchingInlineSnapshot(
      `[DtypeError: tensor: dtype must be that of single elements; got int8, a format for weights; round the matrix with quantizeMatrix() and pass it to quantizedTensor()]`,
    );
    expect(() => zeros([2], { device, dtype: "int4" })).toThrow(DtypeError);
    const w = packWeight(await make("reference", draw(32, 1), [1, 32]), "int8");
    expect(() => sum(w)).toThrow(ShapeError);
    expect(() => packWeight(w, "int4")).toThrowErrorMatchingInlineSnapshot(
      `[DtypeError: packWeight: w must be a float weight to be packed as int4; got int8 in blocks; begin from the float weight]`,
    );
  });

  it.runIf(onWasm)("must be packed before wasm multiplies with it", async () => {
    const device = await sharedDevice("wasm");
    const x = await make("wasm", draw(32, 1), [1, 32]);
    const blocks = quantizedTensor(quantizeMatrix(draw(64, 2), 2, 32, "int8"), { device });
    expect(() => linear(x, blocks)).toThrowErrorMatchingInlineSnapshot(
      `[DtypeError: linear: w must be float32; got int8; pack it with packWeight(w)]`,
    );
    expect(() => linear(x, cast(x, "float16"))).toThrowErrorMatchingInlineSnapshot(
      `[DtypeError: linear: w must be float32; got float16; pack it with packWeight(w)]`,
    );
  });

  it.each(["reference", ...(onWasm ? ["wasm"] : [])] as const)(
    "holds no values that are not finite, on %s",
    async (name) => {
      for (const dtype of ["float16", "int8", "int4"] as const) {
        for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, 1e9]) {
          const values = draw(9 * 32, 3);
          values[200] = bad;
          const w = await make(name as "wasm", values, [9, 32]);
          await expect(async () => packWeight(w, dtype).read(), `${dtype} ${bad}`).rejects.toThrow(DtypeError);
        }
      }
    },
  );

  it.runIf(fastBackends.includes("webgpu"))("is packed as float32 only on webgpu", async () => {
    const device = await sharedDevice("webgpu");
    const w = tensor(draw(64, 2), [2, 32], { device });
    for (const dtype of types) expect(() => packWeight(w, dtype)).toThrow("weights on webgpu must be float32");
  });
});

describe.runIf(fastBackends.includes("webgpu")).each(blockTypes)("weights of %s on webgpu", (dtype) => {
  const [columns, inner] = [45, 96];
  const matrix = quantizeMatrix(draw(columns * inner, 21), columns, inner, dtype);

  it("are what they stand for: alone, in products of few and many rows, in look-ups", async () => {
    const device = await sharedDevice("webgpu");
    const w = quantizedTensor(matrix, { device });
    const values = dequantizeMatrix(matrix);
    expect(await w.read()).toEqual(values);
    expect(await unpackWeight(w).read()).toEqual(values);
    const ids = tensor(Int32Array.of(44, 0, 7), [3], { device });
    const rows = [44, 0, 7].flatMap((id) => Array.from(values.subarray(id * inner, (id + 1) * inner)));
    expect(await embedding(w, ids).read()).toEqual(Float32Array.from(rows));
    for (const count of [1, 3, 20]) {
      const [x, bias] = [draw(count * inner, 22), draw(columns, 23)];
      const expected = await linear(
        await make("reference", x, [count, inner]),
        await make("reference", values, [columns, inner]),
        await make("reference", bias, [columns]),
      ).read();
      const given = tensor(x, [count, inner], { device });
      const y = await linear(given, w, tensor(bias, [columns], { device })).read();
      expect(maxError(y, expected)).toBeLessThan(2e-6);
    }
  });
});

it.runIf(onWasm)("float16 weights are widened exactly: every finite value, subnormal ones too", async () => {
  const bits = Uint16Array.from({ length: 63488 }, (_, i) => (i < 31744 ? i : i - 31744 + 32768));
  const device = await sharedDevice("wasm");
  const packed = packWeight(tensor(bits, [1984, 32], { device, dtype: "float16" as DType }));
  const values = Float32Array.from(bits, float16ToNumber);
  expect(await unpackWeight(packed).read()).toEqual(values);
  // one at a time: a row of the identity picks a column of all rows; several rows at once take another way
  for (const rows of [1, 5]) {
    const x = new Float32Array(rows * 32);
    for (let row = 0; row < rows; row++) x[row * 32 + 3 * row] = 1;
    const y = await linear(tensor(x, [rows, 32], { device }), packed).read();
    const expected = Float32Array.from({ length: rows * 1984 }, (_, i) => {
      return values[(i % 1984) * 32 + 3 * Math.floor(i / 1984)]! + 0;
    });
    expect(y).toEqual(expected);
  }
  expect(numberToFloat16(values[5]!)).toBe(5);
});
