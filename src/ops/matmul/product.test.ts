import { describe, expect, it } from "vitest";
import { maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { linear, packWeight } from "../linear/index.ts";
import { linearInputGradientOp, linearWeightGradientOp } from "../linear/operations.ts";
import { slice, transpose } from "../movement/index.ts";
import { apply } from "../op.ts";
import { matmul } from "./index.ts";
import { leadingRuns } from "./operand.ts";

const drawn = (seed: number, shape: number[]): Float32Array =>
  Float32Array.from(new Random(seed).normals(shape.reduce((product, size) => product * size, 1)), Math.fround);

describe("matrix products on wasm", () => {
  const sizes = [
    [1, 800, 37],
    [2, 385, 64],
    [3, 100, 131],
    [7, 770, 20],
    [203, 390, 44],
  ] as const;

  it.each(sizes)(
    "give the same bits with any number of threads: [%i %i] by %i columns",
    async (rows, inner, columns) => {
      const results: Float32Array[] = [];
      for (const threads of [0, 2, 3]) {
        using device = await openDevice("wasm", { threads });
        const x = tensor(drawn(1, [rows, inner]), [rows, inner], { device });
        const w = tensor(drawn(2, [columns, inner]), [columns, inner], { device });
        const bias = tensor(drawn(3, [columns]), [columns], { device });
        results.push((await linear(x, packWeight(w), bias).read()) as Float32Array);
      }
      expect(results[1]).toEqual(results[0]);
      expect(results[2]).toEqual(results[0]);
    },
  );

  it.each(sizes)("give the same bits however the weight lies: [%i %i] by %i columns", async (rows, inner, columns) => {
    const device = await sharedDevice("wasm");
    const x = tensor(drawn(1, [rows, inner]), [rows, inner], { device });
    const w = tensor(drawn(2, [columns, inner]), [columns, inner], { device });
    const packed = await linear(x, packWeight(w)).read();
    expect(await linear(x, w).read()).toEqual(packed);
    expect(await matmul(x, w, { transposeB: true }).read()).toEqual(packed);
    const dense = tensor(await tensorOf(transpose(w)), [inner, columns], { device });
    expect(await matmul(x, dense).read()).toEqual(packed);
    const turned = tensor(await tensorOf(transpose(x)), [inner, rows], { device });
    expect(await matmul(turned, dense, { transposeA: true }).read()).toEqual(packed);
  });

  it("give a row the same bits alone as among others", async () => {
    const device = await sharedDevice("wasm");
    const x = tensor(drawn(1, [9, 500]), [9, 500], { device });
    const w = packWeight(tensor(drawn(2, [50, 500]), [50, 500], { device }));
    const all = await linear(x, w).read();
    for (const [start, end] of [
      [0, 1],
      [4, 6],
      [6, 9],
    ] as const) {
      const some = await linear(slice(x, { axis: 0, start, end }), w).read();
      expect([...some]).toEqual([...all.subarray(start * 50, end * 50)]);
    }
  });

  it("are right where the inner axis is packed in several parts", async () => {
    const [rows, inner, columns] = [5, 8003, 9];
    const results = [];
    for (const name of ["reference", "wasm"] as const) {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const make = (seed: number, shape: number[]): Tensor => tensor(drawn(seed, shape), shape, { device, dtype });
      const [x, w] = [make(1, [rows, inner]), make(2, [columns, inner])];
      const [dy, tokens] = [make(3, [inner, rows]), make(4, [inner, columns])];
      const { dw, dbias } = apply(linearWeightGradientOp, { x: tokens, dy }, { bias: true });
      const { dx } = apply(linearInputGradientOp, { dy: x, w: tokens });
      results.push([linear(x, w), dw!, dbias!, dx!]);
    }
    for (const [i, expected] of results[0]!.entries()) {
      expect(maxError(await results[1]![i]!.read(), await expected.read()), `result ${i}`).toBeLessThan(2e-6);
    }
  });
});

async function tensorOf(x: Tensor): Promise<Float32Array> {
  return (await x.read()) as Float32Array;
}

describe("leadingRuns", () => {
  it("folds axes that one stride reaches", () => {
    expect(leadingRuns([2, 3], [[12, 4]])).toEqual([{ offsets: [0], count: 6, strides: [4] }]);
    expect(leadingRuns([2, 1, 3], [[12, 99, 4]])).toEqual([{ offsets: [0], count: 6, strides: [4] }]);
    expect(leadingRuns([], [[]])).toEqual([{ offsets: [0], count: 1, strides: [0] }]);
  });

  it("gives a run for each index of an axis that does not fold in every tensor", () => {
    expect(
      leadingRuns(
        [2, 3],
        [
          [12, 4],
          [20, 4],
        ],
      ),
    ).toEqual([
      { offsets: [0, 0], count: 3, strides: [4, 4] },
      { offsets: [12, 20], count: 3, strides: [4, 4] },
    ]);
  });
});
