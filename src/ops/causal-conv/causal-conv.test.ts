import { describe, expect, it } from "vitest";
import { fastBackends, normal, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import { slice } from "../movement/index.ts";
import { causalConv, convUpdate } from "./index.ts";
import { causalConvOp } from "./operations.ts";

const packed: OpCase["fill"] = {
  segmentIds: (_, [batch, length]) =>
    Int32Array.from({ length: batch! * length! }, (_, i) => [-1, 0, 0, 1, -1, 1, 1, 2, -1][(i % length!) % 9]!),
};
const axes = { batch: 2, length: 6, channels: 5, window: 4, before: 3 };

testOp(causalConvOp, {
  cases: [
    { axes, params: { activation: "silu" }, omit: ["segmentIds"] },
    { axes, params: { activation: "none" }, omit: ["bias", "initialState", "segmentIds"] },
    { axes, params: { activation: "silu", reverse: true }, omit: ["segmentIds"] },
    { axes: { ...axes, length: 9, channels: 8 }, params: { activation: "silu" }, fill: packed },
    { axes: { ...axes, length: 9 }, params: { activation: "none", reverse: true }, fill: packed },
    // shorter than the window
    { axes: { ...axes, length: 2 }, params: { activation: "silu" }, omit: ["segmentIds"] },
    { axes: { ...axes, window: 1, before: 0 }, params: { activation: "silu" }, omit: ["segmentIds", "initialState"] },
    { axes: { ...axes, window: 2, before: 1, channels: 1 }, params: { activation: "silu" }, omit: ["segmentIds"] },
  ],
});

async function difference(a: Tensor, b: Tensor): Promise<number> {
  const [x, y] = [await a.read(), await b.read()];
  expect(x.length).toBe(y.length);
  return Math.max(...Array.from(x, (value, i) => Math.abs(value - y[i]!)));
}

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`causalConv on ${name}`, () => {
    it("weighs the newest sample with the last weight and sees zeros before the sequence", async () => {
      const device = await sharedDevice(name);
      const x = tensor([1, 2, 3, 4], [1, 4, 1], { device });
      const weight = tensor([100, 10, 1], [1, 3], { device });
      const { y, finalState } = causalConv(x, weight);
      expect([...(await y.read())]).toEqual([1, 12, 123, 234]);
      expect([...(await finalState.read())]).toEqual([3, 4]);
    });

    it("is the same over a sequence as over any split of it, and as steps", async () => {
      const device = await sharedDevice(name);
      const random = new Random(2);
      const [x, weight] = [[2, 11, 7] as const, [7, 4] as const].map((shape) =>
        tensor(normal(random, shape), shape, { device }),
      ) as [Tensor, Tensor];
      const bias = tensor(normal(random, [7]), [7], { device });
      const initialState = tensor(normal(random, [2, 3, 7]), [2, 3, 7], { device });
      const options = { bias, activation: "silu" as const };
      const whole = causalConv(x, weight, { ...options, initialState });
      for (const cut of [1, 2, 3, 10]) {
        const first = causalConv(slice(x, { axis: 1, end: cut }), weight, { ...options, initialState });
        const second = causalConv(slice(x, { axis: 1, start: cut }), weight, {
          ...options,
          initialState: first.finalState,
        });
        expect(await difference(second.y, slice(whole.y, { axis: 1, start: cut }))).toBeLessThan(1e-6);
        expect(await difference(second.finalState, whole.finalState)).toBe(0);
      }
      let state = convUpdate(zeros([2, 7], { device, dtype: x.dtype }), weight, initialState, options).state;
      expect(await difference(state, initialState)).toBeGreaterThan(0.1);
      state = initialState;
      for (let t = 0; t < 11; t++) {
        const sample = slice(x, { axis: 1, start: t, end: t + 1 });
        const rows = slice(whole.y, { axis: 1, start: t, end: t + 1 });
        const flat = tensor(await sample.read(), [2, 7], { device, dtype: x.dtype });
        const step = convUpdate(flat, weight, state, { ...options, inPlace: t > 0 });
        expect(await difference(step.y, tensor(await rows.read(), [2, 7], { device, dtype: x.dtype }))).toBeLessThan(
          1e-6,
        );
        state = step.state;
      }
      expect(await difference(state, whole.finalState)).toBe(0);
    });
  });
}
