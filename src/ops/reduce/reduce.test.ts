import { expect, it } from "vitest";
import { fastBackends, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { argmax, broadcastTo, max, mean, sum } from "./index.ts";
import { expandOp, reduceMaxOp, reduceSumOp } from "./operations.ts";

const sizes = [
  { outer: 3, middle: 5, inner: 4 },
  { outer: 1, middle: 1000, inner: 1 },
  { outer: 2, middle: 1, inner: 7 },
  { outer: 5, middle: 129, inner: 33 },
  { outer: 2, middle: 1100, inner: 68 },
  { outer: 1, middle: 600, inner: 8 },
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

it.each(["reference", ...fastBackends] as const)(
  "finds the first of equals on %s, and passes NaN over",
  async (name) => {
    const device = await sharedDevice(name);
    const row = new Float32Array(103).fill(-3);
    for (const place of [41, 43, 60, 101]) row[place] = 7;
    row[5] = Number.NaN;
    expect(await argmax(tensor(row, [1, 103], { device })).item()).toBe(41);
    expect(await max(tensor(row, undefined, { device })).item()).toBe(7);
    expect([...(await argmax(tensor([2, 1, 5, 5, 2, 5], [3, 2], { device }), 0).read())]).toEqual([1, 1]);
  },
);

it.each(["reference", ...fastBackends] as const)("adds a million numbers to seven digits on %s", async (name) => {
  const device = await sharedDevice(name);
  const values = Float32Array.from(new Random(2).uniforms(1_000_003));
  const exact = values.reduce((total, value) => total + value, 0);
  for (const shape of [[1_000_003], [1_000_003, 1]]) {
    const total = await sum(tensor(values, shape, { device }), { axis: 0 }).read();
    expect(Math.abs(total[0]! - exact) / exact).toBeLessThan(1e-6);
  }
});
