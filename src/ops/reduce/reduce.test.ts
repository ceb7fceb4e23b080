import { expect, it } from "vitest";
import { sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { tensor } from "../../tensor/tensor.ts";
import { argmax, broadcastTo, max, mean, sum } from "./index.ts";
import { expandOp, reduceMaxOp, reduceSumOp } from "./operations.ts";

const sizes = [
  { outer: 3, middle: 5, inner: 4 },
  { outer: 1, middle: 1000, inner: 1 },
  { outer: 2, middle: 1, inner: 7 },
  { outer: 5, middle: 129, inner: 33 },
];
testOp(reduceSumOp, { cases: sizes.map((axes) => ({ axes })) });
testOp(reduceMaxOp, { cases: sizes.map((axes) => ({ axes })) });
testOp(expandOp, { cases: [{ shapes: { x: [3, 1] }, params: { shape: [2, 3, 4] } }] });

it("reduces over any axes", async () => {
  const device = await sharedDevice("reference");
  const x = tensor([1, 5, 2, 4, 3, 6], [2, 3], { device });
  expect(await sum(x).item()).toBe(21);
  expect([...(await sum(x, { axis: 0 }).read())]).toEqual([5, 8, 8]);
  expect([...(await mean(x, { axis: -1 }).read())]).toEqual([Math.fround(8 / 3), Math.fround(13 / 3)]);
  expect(max(x, { axis: [0, 1], keepDims: true }).shape).toEqual([1, 1]);
  expect([...(await argmax(x).read())]).toEqual([1, 2]);
  expect([...(await broadcastTo(sum(x, { axis: 1, keepDims: true }), [2, 2]).read())]).toEqual([8, 8, 13, 13]);
});
