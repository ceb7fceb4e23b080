import { describe, expect, it } from "vitest";
import { fastBackends, normal, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { add, mul } from "../elementwise/index.ts";
import { concat, slice } from "../movement/index.ts";
import { sum } from "../reduce/index.ts";
import { causalConv, convUpdate } from "./index.ts";
import { causalConvOp } from "./operations.ts";

const packed: OpCase["fill"] = {
  segmentIds: (_, [batch, length]) =>
    Int32Array.from({ length: batch! * length! }, (_, i) => [-1, 0, 0, 1, -1, 1, 1, 2, -1][(i % length!) % 9]!),
};
/** Sequences of `segment` steps, the first steps of every `period` padding. */
const packedLong = (segment: number, period: number, padding: number): OpCase["fill"] => ({
  segmentIds: (_, [batch, length]) =>
    Int32Array.from({ length: batch! * length! }, (_, i) => {
      const t = i % length!;
      return t % period < padding ? -1 : Math.floor(t / segment);
    }),
});
const axes = { batch: 2, length: 6, channels: 5, window: 4 };

testOp(causalConvOp, {
  cases: [
    { axes, params: { activation: "silu" }, omit: ["segmentIds"] },
    { axes, params: { activation: "none" }, omit: ["bias", "initialState", "segmentIds"] },
    { axes, params: { activation: "silu", reverse: true }, omit: ["segmentIds"] },
    { axes: { ...axes, length: 9, channels: 8 }, params: { activation: "silu" }, fill: packed },
    { axes: { ...axes, length: 9 }, params: { activation: "none", reverse: true }, fill: packed },
    // shorter than the window
    { axes: { ...axes, length: 2 }, params: { activation: "silu" }, omit: ["segmentIds"] },
    { axes: { ...axes, window: 1 }, params: { activation: "silu" }, omit: ["segmentIds", "initialState"] },
    // longer than the tiles that fast kernels cut time into, and more channels than their blocks
    { axes: { ...axes, length: 130, channels: 7 }, params: { activation: "silu" }, omit: ["segmentIds"] },
    { axes: { ...axes, length: 65, window: 6 }, params: { activation: "silu" }, omit: ["segmentIds"] },
    {
      axes: { ...axes, length: 129, channels: 67 },
      params: { activation: "silu", reverse: true },
      omit: ["segmentIds"],
    },
    // channels in fours
    { axes: { ...axes, length: 70, channels: 8 }, params: { activation: "silu" }, omit: ["segmentIds"] },
    {
      axes: { ...axes, length: 67, channels: 12, window: 3 },
      params: { activation: "silu", reverse: true },
      omit: ["segmentIds", "bias"],
    },
    {
      axes: { ...axes, length: 2, channels: 4, window: 6 },
      params: { activation: "none" },
      omit: ["segmentIds"],
    },
    { axes: { ...axes, length: 200 }, params: { activation: "silu" }, fill: packedLong(63, 40, 3) },
    { axes: { ...axes, length: 200 }, params: { activation: "silu" }, fill: packedLong(64, 50, 1) },
    { axes: { ...axes, length: 200 }, params: { activation: "silu" }, fill: packedLong(65, 40, 3) },
    { axes: { ...axes, length: 100, window: 5 }, params: { activation: "silu" }, fill: packedLong(66, 50, 2) },
    {
      axes: { ...axes, length: 200, window: 3 },
      params: { activation: "silu", reverse: true },
      fill: packedLong(65, 7, 2),
    },
    { axes: { ...axes, length: 300 }, params: { activation: "silu" }, fill: packedLong(400, 150, 140) },
    { axes: { ...axes, length: 300, window: 2 }, params: { activation: "none" }, fill: packedLong(129, 300, 130) },
    { axes: { ...axes, batch: 1, length: 2200, channels: 2 }, params: { activation: "silu" }, omit: ["segmentIds"] },
    { axes: { ...axes, window: 2, channels: 1 }, params: { activation: "silu" }, omit: ["segmentIds"] },
  ],
});

/** Stacked samples [batch length channels]. */
function draw(device: Device, random: Random, shape: number[]): Tensor {
  return tensor(normal(random, shape).map(Math.fround), shape, { device });
}

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

    for (const reverse of [false, true]) {
      it(`treats packed sequences as if they were apart, whatever padding holds${reverse ? ", in reverse" : ""}`, async () => {
        const device = await sharedDevice(name);
        const random = new Random(6);
        const [x, weight, bias] = [
          draw(device, random, [1, 12, 6]),
          draw(device, random, [6, 4]),
          draw(device, random, [6]),
        ];
        const initialState = draw(device, random, [1, 3, 6]);
        const ids = [-1, 0, 0, -1, 0, 1, 2, 2, 2, 2, 2, -1];
        const segmentIds = tensor(Int32Array.from(ids), [1, 12], { device });
        const options = { bias, activation: "silu" as const, reverse };
        const together = causalConv(x, weight, { ...options, initialState, segmentIds });
        const order = reverse ? [2, 1, 0] : [0, 1, 2];
        for (const segment of order) {
          const places = ids.flatMap((id, t) => (id === segment ? [t] : []));
          const pick = (from: Tensor) =>
            concat(
              places.map((t) => slice(from, { axis: 1, start: t, end: t + 1 })),
              1,
            );
          const first = segment === order[0];
          const apart = causalConv(pick(x), weight, { ...options, ...(first ? { initialState } : {}) });
          expect(await difference(pick(together.y), apart.y)).toBeLessThan(1e-6);
          if (segment === order[2]) expect(await difference(together.finalState, apart.finalState)).toBe(0);
        }
        for (const t of [0, 3, 11]) {
          expect(await slice(together.y, { axis: 1, start: t, end: t + 1 }).read()).toEqual(
            await zeros([6], { device, dtype: x.dtype }).read(),
          );
        }
        const values = await x.read();
        for (const t of [0, 3, 11]) values.fill(Number.NaN, t * 6, t * 6 + 6);
        const poisoned = causalConv(tensor(values, [1, 12, 6], { device }), weight, {
          ...options,
          initialState,
          segmentIds,
        });
        expect(await difference(poisoned.y, together.y)).toBe(0);
        expect(await difference(poisoned.finalState, together.finalState)).toBe(0);
      });
    }

    it("in reverse is the convolution of the sequence turned round", async () => {
      const device = await sharedDevice(name);
      const random = new Random(8);
      const [x, weight] = [draw(device, random, [2, 9, 5]), draw(device, random, [5, 3])];
      const turn = (from: Tensor) => {
        const length = from.shape[1]!;
        const steps = Array.from({ length }, (_, t) =>
          slice(from, { axis: 1, start: length - 1 - t, end: length - t }),
        );
        return concat(steps, 1);
      };
      const [backwards, turned] = [causalConv(x, weight, { reverse: true }), causalConv(turn(x), weight)];
      expect(await difference(backwards.y, turn(turned.y))).toBeLessThan(1e-6);
      expect(await difference(backwards.finalState, turned.finalState)).toBe(0);
    });

    it("passes padding alone by: zeros out, the state as it came", async () => {
      const device = await sharedDevice(name);
      const random = new Random(9);
      const initialState = draw(device, random, [1, 3, 4]);
      const segmentIds = tensor(new Int32Array(5).fill(-1), [1, 5], { device });
      const x = draw(device, random, [1, 5, 4]);
      const { y, finalState } = causalConv(x, draw(device, random, [4, 4]), { initialState, segmentIds });
      expect(await difference(finalState, initialState)).toBe(0);
      expect(Math.max(...(await y.read()).map(Math.abs))).toBe(0);
    });

    it("has a gradient through its final state alone, and none for padding and what came before a new segment", async () => {
      const device = await sharedDevice(name);
      const random = new Random(10);
      const x = draw(device, random, [1, 6, 1]);
      const initialState = draw(device, random, [1, 2, 1]);
      const weight = draw(device, random, [1, 3]);
      const of = (ids: number[]) => {
        const segmentIds = tensor(Int32Array.from(ids), [1, 6], { device });
        const leaves = { x, initialState };
        return valueAndGrad((given) => sum(causalConv(given.x, weight, { ...given, segmentIds }).finalState), leaves);
      };
      const last = of([0, 0, 0, 0, -1, 0]).gradients;
      expect([...(await last.x.read())]).toEqual([0, 0, 0, 1, 0, 1]);
      expect([...(await last.initialState.read())]).toEqual([0, 0]);
      const short = of([-1, -1, 0, -1, -1, -1]).gradients;
      expect([...(await short.x.read())]).toEqual([0, 0, 1, 0, 0, 0]);
      expect([...(await short.initialState.read())]).toEqual([0, 1]);
      const fresh = of([0, 0, 0, 0, 0, 1]).gradients;
      expect([...(await fresh.x.read())]).toEqual([0, 0, 0, 0, 0, 1]);
      expect([...(await fresh.initialState.read())]).toEqual([0, 0]);
    });

    it("refuses a state that is not as long as the window needs, and a view to be changed in place", async () => {
      const device = await sharedDevice(name);
      const [x, weight] = [zeros([1, 5, 2], { device }), zeros([2, 4], { device })];
      const initialState = zeros([1, 2, 2], { device });
      expect(() => causalConv(x, weight, { initialState })).toThrowErrorMatchingInlineSnapshot(
        `[ShapeError: causalConv: initialState must have shape [batch window-1 channels]; axis "window-1" is 3 in weight but 2 in initialState (got [1 2 2]); pass a fitting tensor]`,
      );
      const state = slice(zeros([1, 3, 4], { device }), { axis: 2, end: 2 });
      const row = zeros([1, 2], { device });
      expect(() => convUpdate(row, weight, state, { inPlace: true })).toThrowErrorMatchingInlineSnapshot(
        `[ShapeError: convUpdate: state must be dense to be changed in place; got a view of shape [1 3 2]; leave out inPlace]`,
      );
    });
  });
}

it.runIf(fastBackends.includes("wasm"))(
  "gives the same bits for any number of threads, forward and backward",
  async () => {
    let first: unknown;
    for (const threads of [0, 1, 2, 3]) {
      using device = await openDevice("wasm", { threads });
      const random = new Random(12);
      const leaves = {
        x: draw(device, random, [2, 150, 37]),
        weight: draw(device, random, [37, 4]),
        bias: draw(device, random, [37]),
        initialState: draw(device, random, [2, 3, 37]),
      };
      const { value, aux, gradients } = valueAndGrad(({ x, weight, ...rest }) => {
        const made = causalConv(x, weight, { ...rest, activation: "silu" });
        return { value: add(sum(mul(made.y, made.y)), sum(made.finalState)), aux: made };
      }, leaves);
      const bits = await Promise.all(
        [value, ...Object.values(aux!), ...Object.values(gradients)].map((part) => part.read()),
      );
      first ??= bits;
      expect(bits, `${threads} threads`).toEqual(first);
    }
  },
);
