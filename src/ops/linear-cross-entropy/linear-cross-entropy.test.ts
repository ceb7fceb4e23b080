import { describe, expect, it } from "vitest";
import { type Fill, fastBackends, maxError, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { crossEntropy } from "../cross-entropy/index.ts";
import { openDevice } from "../devices.ts";
import { linear, packWeight } from "../linear/index.ts";
import { slice } from "../movement/index.ts";
import { linearCrossEntropy } from "./index.ts";
import { linearCrossEntropyBackwardOp, linearCrossEntropyOp } from "./operations.ts";

// every fourth token or so is ignored
const targets =
  (classes: number): Fill =>
  (random, shape) =>
    Int32Array.from({ length: sizeOf(shape) }, () => (random.uniform() < 0.25 ? -1 : random.integer(classes)));

const cases = [
  { axes: { tokens: 5, dModel: 3, rows: 7 }, vocabSize: 7, tokenChunk: 2, rowChunk: 3 },
  { axes: { tokens: 4, dModel: 5, rows: 16 }, vocabSize: 11, tokenChunk: 4, rowChunk: 8 },
  { axes: { tokens: 1, dModel: 1, rows: 1 }, vocabSize: 1, tokenChunk: 256, rowChunk: 2048 },
  { axes: { tokens: 37, dModel: 24, rows: 136 }, vocabSize: 131, tokenChunk: 16, rowChunk: 64 },
].map(({ axes, ...sizes }) => ({
  axes,
  params: { ...sizes, ignoreIndex: -1 },
  fill: { targets: targets(sizes.vocabSize) },
}));
testOp(linearCrossEntropyOp, {
  cases: [
    ...cases,
    { ...cases[0]!, ignore: ["losses"] },
    { ...cases[1]!, ignore: ["logSumExp"] },
    { ...cases[1]!, constant: ["weight"] },
    { ...cases[1]!, constant: ["x"] },
  ],
});
// a logSumExp near that of the drawn logits, so that probabilities stay probabilities
const nearLogSumExp: Fill = (random, shape) => Float64Array.from({ length: sizeOf(shape) }, () => 9 + random.uniform());
testOp(linearCrossEntropyBackwardOp, {
  differentiable: false,
  cases: cases.map((given) => ({
    ...given,
    params: { ...given.params, wantsX: true, wantsWeight: true },
    fill: { ...given.fill, logSumExp: nearLogSumExp },
  })),
});

const [tokens, dModel, rows, vocabSize] = [29, 12, 40, 35];

async function draw(name: DeviceName) {
  const device = await sharedDevice(name);
  const random = new Random(3);
  const dtype = name === "reference" ? ("float64" as const) : ("float32" as const);
  const make = (shape: number[]) =>
    tensor(Float64Array.from(random.normals(sizeOf(shape)), Math.fround), shape, { device, dtype });
  const ids = Int32Array.from({ length: tokens }, (_, t) => (t % 5 === 0 ? -1 : random.integer(vocabSize)));
  return { x: make([tokens, dModel]), weight: make([rows, dModel]), ids: tensor(ids, [tokens], { device }) };
}

describe.each(["reference", ...fastBackends] as DeviceName[])("linearCrossEntropy on %s", (name) => {
  const tolerance = name === "reference" ? 1e-13 : 1e-5;

  it.each([
    [29, 35],
    [8, 16],
    [1, 1],
    [7, 2048],
  ])("is linear, slice and crossEntropy, whatever the chunks: %i tokens, %i rows", async (tokenChunk, rowChunk) => {
    const { x, weight, ids } = await draw(name);
    const parts = valueAndGrad(() => crossEntropy(slice(linear(x, weight), { axis: -1, end: vocabSize }), ids).loss, {
      x,
      weight,
    });
    const options = { vocabSize, tokenChunk, rowChunk };
    const fused = valueAndGrad(() => linearCrossEntropy(x, weight, ids, options).loss, { x, weight });
    expect(maxError(await fused.value.read(), await parts.value.read())).toBeLessThan(tolerance);
    for (const leaf of ["x", "weight"] as const) {
      const [actual, expected] = [await fused.gradients[leaf].read(), await parts.gradients[leaf].read()];
      expect(maxError(actual, expected), leaf).toBeLessThan(tolerance);
    }
  });

  it("takes a packed weight and leaves its padding rows out", async () => {
    const { x, weight, ids } = await draw(name);
    const options = { vocabSize, reduction: "none" } as const;
    const plain = linearCrossEntropy(x, weight, ids, options);
    const packed = linearCrossEntropy(x, packWeight(weight), ids, options);
    expect(maxError(await packed.losses.read(), await plain.losses.read())).toBeLessThan(tolerance);
    const all = linearCrossEntropy(x, weight, ids, { reduction: "none" });
    const [some, more] = [await plain.logSumExp.read(), await all.logSumExp.read()];
    expect(some.every((value: number, t: number) => value < more[t]! || t % 5 === 0)).toBe(true);
  });
});

it.each(["reference", ...fastBackends] as DeviceName[])(
  "stays finite where the exponentials of single chunks overflow on %s",
  async (name) => {
    const device = await sharedDevice(name);
    const x = tensor([1], [1, 1], { device });
    const logits = Float32Array.from({ length: 12 }, (_, i) => -900 - i);
    logits.set([800, 900], 1);
    logits[11] = 900;
    const weight = tensor(logits, [12, 1], { device });
    const ids = tensor(Int32Array.of(1), [1], { device });
    const { loss } = linearCrossEntropy(x, weight, ids, { rowChunk: 1 });
    expect(await loss.item()).toBeCloseTo(100 + Math.log(2), 4);
  },
);

it("gives the same bits with any number of threads on wasm, forward and backward", async () => {
  const results = [];
  for (const threads of [0, 2, 3]) {
    using device = await openDevice("wasm", { threads });
    const random = new Random(8);
    const make = (shape: number[]) => tensor(Float32Array.from(random.normals(sizeOf(shape))), shape, { device });
    const [x, weight] = [make([61, 30]), make([100, 30])];
    const ids = tensor(
      Int32Array.from({ length: 61 }, () => random.integer(97)),
      [61],
      { device },
    );
    const options = { vocabSize: 97, tokenChunk: 25, rowChunk: 40 };
    const { value, gradients } = valueAndGrad(() => linearCrossEntropy(x, weight, ids, options).loss, { x, weight });
    results.push([await value.read(), await gradients.x.read(), await gradients.weight.read()]);
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[2]).toEqual(results[0]);
});

it("says which target is out of range at the next read on wasm", async () => {
  const { x, weight } = await draw("wasm");
  const ids = tensor(new Int32Array(tokens).fill(vocabSize), [tokens], { device: x.device });
  await expect(linearCrossEntropy(x, weight, ids, { vocabSize }).loss.read()).rejects.toThrow(
    "linearCrossEntropy: targets must be in 0 to 34; got 35; check the tokenizer against the model",
  );
});

it("takes scratch for one block of logits on wasm, however many there are", async () => {
  using device = await openDevice("wasm", { threads: 0 });
  const x = tensor(new Float32Array(300 * 16).fill(0.1), [300, 16], { device });
  const weight = tensor(new Float32Array(4000 * 16), [4000, 16], { device });
  const ids = tensor(new Int32Array(300), [300], { device });
  const { value, gradients } = valueAndGrad(
    () => linearCrossEntropy(x, weight, ids, { tokenChunk: 50, rowChunk: 200 }).loss,
    { x, weight },
  );
  expect(await value.item()).toBeCloseTo(Math.log(4000), 4);
  expect((await gradients.weight.read()).length).toBe(64_000);
  // two weights, two inputs, a block of logits and its transpose, and some rows in panels: below 1 MiB
  expect(device.memory().peak).toBeLessThan(2 ** 20);
});

it("refuses targets among the padding rows and sizes that cannot be", async () => {
  const { x, weight } = await draw("reference");
  const ids = tensor(new Int32Array(tokens).fill(vocabSize), [tokens], { device: x.device });
  expect(() => linearCrossEntropy(x, weight, ids, { vocabSize })).toThrowErrorMatchingInlineSnapshot(
    `[MambaError: linearCrossEntropy: targets must be in 0 to 34; got 35 at position 0; check the tokenizer against the model]`,
  );
  expect(() => linearCrossEntropy(x, weight, ids, { vocabSize: 41 })).toThrowErrorMatchingInlineSnapshot(
    `[ConfigError: linearCrossEntropy: vocabSize must be in 1 to the 40 rows of weight; got 41; pass the number of rows that are classes]`,
  );
  expect(() => linearCrossEntropy(x, weight, ids, { rowChunk: 0 })).toThrowErrorMatchingInlineSnapshot(
    `[ConfigError: linearCrossEntropy: rowChunk must be a positive integer; got 0; leave it out]`,
  );
});
