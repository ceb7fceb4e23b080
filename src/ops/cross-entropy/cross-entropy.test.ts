import { describe, expect, it } from "vitest";
import { type Fill, fastBackends, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { mul } from "../elementwise/index.ts";
import { sum } from "../reduce/index.ts";
import { crossEntropy } from "./index.ts";
import { crossEntropyBackwardOp, crossEntropyOp } from "./operations.ts";

// every fourth token or so is ignored
const targets =
  (classes: number): Fill =>
  (random, shape) =>
    Int32Array.from({ length: sizeOf(shape) }, () => (random.uniform() < 0.25 ? -1 : random.integer(classes)));
const params = { ignoreIndex: -1 };
const cases = [
  { tokens: 5, vocabulary: 7 },
  { tokens: 1, vocabulary: 1 },
  { tokens: 33, vocabulary: 130 },
].map((axes) => ({ axes, params, fill: { targets: targets(axes.vocabulary) } }));
testOp(crossEntropyOp, {
  cases: [...cases, { ...cases[0]!, ignore: ["losses"] }, { ...cases[0]!, ignore: ["logSumExp"] }],
});
testOp(crossEntropyBackwardOp, {
  differentiable: false,
  cases: [...cases, { ...cases[0]!, omit: ["dlosses"] }, { ...cases[2]!, omit: ["dlogSumExp"] }],
});

async function example() {
  const device = await sharedDevice("reference");
  const logits = tensor(Float64Array.of(0, Math.log(3), 7, 7, 1000, 0), [3, 2], { device });
  return { device, logits };
}

describe("crossEntropy", () => {
  it("is the negative logarithm of the target's probability", async () => {
    const { device, logits } = await example();
    const { losses, valid, logSumExp } = crossEntropy(logits, tensor(Int32Array.of(0, 1, 1), [3], { device }), {
      reduction: "none",
    });
    const expected = [Math.log(4), Math.log(2), 1000];
    expect([...(await losses.read())]).toEqual(expected.map((loss) => expect.closeTo(loss, 13)));
    expect([...(await logSumExp.read())]).toEqual([
      expect.closeTo(Math.log(4), 14),
      expect.closeTo(7 + Math.log(2), 14),
      1000,
    ]);
    expect([...(await valid.read())]).toEqual([1, 1, 1]);
  });

  it("sums or averages over the tokens that are not ignored", async () => {
    const { device, logits } = await example();
    const ids = tensor(Int32Array.of(0, 9, 1), [3], { device });
    const { loss, valid } = crossEntropy(logits, ids, { ignoreIndex: 9 });
    expect(await loss.item()).toBeCloseTo((Math.log(4) + 1000) / 2, 12);
    expect([...(await valid.read())]).toEqual([1, 0, 1]);
    const { loss: total } = crossEntropy(logits, ids, { ignoreIndex: 9, reduction: "sum" });
    expect(await total.item()).toBeCloseTo(Math.log(4) + 1000, 12);
  });

  it("is 0 with gradient 0 where every target is ignored", async () => {
    const { device, logits } = await example();
    const ids = tensor(Int32Array.of(-1, -1, -1), [3], { device });
    const { value, gradients } = valueAndGrad(() => crossEntropy(logits, ids).loss, { logits });
    expect(await value.item()).toBe(0);
    expect([...(await gradients.logits.read())]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("has a gradient through its logSumExp alone, the softmax", async () => {
    const { device, logits } = await example();
    const ids = tensor(Int32Array.of(0, -1, 0), [3], { device });
    const { gradients } = valueAndGrad(() => sum(mul(crossEntropy(logits, ids).logSumExp, 2)), { logits });
    const expected = [0.5, 1.5, 0, 0, 2, 0];
    expect([...(await gradients.logits.read())]).toEqual(expected.map((value) => expect.closeTo(value, 14)));
  });

  it("refuses a target that is no class", async () => {
    const { device, logits } = await example();
    expect(() =>
      crossEntropy(logits, tensor(Int32Array.of(0, 2, 1), [3], { device })),
    ).toThrowErrorMatchingInlineSnapshot(
      `[MambaError: crossEntropy: targets must be in 0 to 1; got 2 at position 1; check the tokenizer against the model]`,
    );
    expect(() =>
      crossEntropy(logits, tensor(Int32Array.of(0, -2, 1), [3], { device })),
    ).toThrowErrorMatchingInlineSnapshot(
      `[MambaError: crossEntropy: targets must be in 0 to 1; got -2 at position 1; check the tokenizer against the model]`,
    );
  });

  it.runIf(fastBackends.includes("wasm"))("rejects the read after a target that is no class on wasm", async () => {
    const device = await openDevice("wasm", { threads: 2 });
    const logits = tensor(new Float32Array(6), [3, 2], { device });
    const { losses } = crossEntropy(logits, tensor(Int32Array.of(0, 5, 1), [3], { device }), { reduction: "none" });
    await expect(losses.read()).rejects.toMatchObject({ code: "ID_OUT_OF_RANGE", facts: { actual: 5, expected: 2 } });
    expect([...(await losses.read())]).toEqual([Math.LN2, 0, Math.LN2].map(Math.fround));
    device.dispose();
  });
});
