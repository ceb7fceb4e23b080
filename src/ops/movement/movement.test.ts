import { describe, expect, it } from "vitest";
import { sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { tensor } from "../../tensor/tensor.ts";
import { concat, contiguous, reshape, slice, split, transpose } from "./index.ts";
import { concatOp, copyOp, permuteOp, reshapeOp, sliceOp, splitOp } from "./operations.ts";

testOp(copyOp, { cases: [{ shapes: { x: [3, 4] } }, { shapes: { x: [1] } }] });
testOp(reshapeOp, { cases: [{ shapes: { x: [3, 4] }, params: { shape: [2, 6] } }] });
testOp(permuteOp, { cases: [{ shapes: { x: [2, 3, 4] }, params: { order: [2, 0, 1] } }] });
testOp(sliceOp, { cases: [{ shapes: { x: [3, 5, 2] }, params: { axis: 1, start: 1, end: 4 } }] });
testOp(splitOp, { cases: [{ shapes: { x: [3, 7] }, params: { axis: 1, sizes: [2, 4, 1] } }] });
testOp(splitOp, {
  cases: [{ shapes: { x: [3, 7] }, params: { axis: 1, sizes: [2, 4, 1] }, ignore: ["parts", "part2"] }],
});
testOp(concatOp, {
  cases: [
    { shapes: { part0: [3, 4], part1: [3, 8], part2: [3, 4] }, params: { axis: 1 } },
    { shapes: { part0: [2, 3, 2], part1: [2, 1, 2], part2: [2, 4, 2] }, params: { axis: 1 } },
  ],
});

describe("movement", () => {
  it("gives the elements NumPy gives", async () => {
    const device = await sharedDevice("reference");
    const x = tensor([0, 1, 2, 3, 4, 5], [2, 3], { device });
    expect([...(await transpose(x).read())]).toEqual([0, 3, 1, 4, 2, 5]);
    expect([...(await slice(x, { axis: -1, start: 1 }).read())]).toEqual([1, 2, 4, 5]);
    expect([...(await slice(x, { axis: 0, start: -1 }).read())]).toEqual([3, 4, 5]);
    expect(reshape(x, [3, -1]).shape).toEqual([3, 2]);
    const [a, b] = split(x, [1, 2]);
    expect([...(await concat([b!, a!]).read())]).toEqual([1, 2, 0, 4, 5, 3]);
    expect(contiguous(b!).dense).toBe(true);
  });

  it("says which shapes do not fit", async () => {
    const device = await sharedDevice("reference");
    const x = tensor([0, 1, 2, 3, 4, 5], [2, 3], { device });
    expect(() => reshape(x, [4])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: reshape: the new shape must have 6 elements; got [4]; the tensor has shape [2 3]]`,
    );
    expect(() => concat([x, slice(x, { axis: 0, end: 1 })], 1)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: concat: tensors must agree on all axes but 1; got [2 3] and [1 3]; slice or reshape them]`,
    );
    expect(() => transpose(x, [0, 5])).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: transpose: axis must be in -2 to 1; got 5; the tensor has 2 axes]`,
    );
  });
});
