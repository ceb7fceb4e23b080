import { describe, expect, it } from "vitest";
import { fastBackends, normal, type OpCase, sharedDevice, testOp, uniform } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { mul } from "../elementwise/index.ts";
import { slice } from "../movement/index.ts";
import { sum } from "../reduce/index.ts";
import { selectiveScan } from "./index.ts";
import { selectiveScanOp } from "./operations.ts";

const optional = ["B", "constantB", "C", "constantC", "D", "z", "deltaBias", "segmentIds", "initialState"];
const without = (...given: string[]): string[] => optional.filter((name) => !given.includes(name));
const decay = { A: uniform(-2, -0.1), delta: uniform(0.01, 0.5) };
const axes = { batch: 2, length: 5, channels: 6, state: 3, groups: 2 };

/** Packed rows with padding in front, in between and behind. */
const packed: OpCase["fill"] = {
  segmentIds: (_, [batch, length]) =>
    Int32Array.from({ length: batch! * length! }, (_, i) => [-1, 0, 0, 1, -1, 1, 2, 2, -1][(i % length!) % 9]!),
};

testOp(selectiveScanOp, {
  cases: [
    { axes, omit: without("B", "C"), fill: decay },
    { axes, omit: without("B", "C", "D", "z", "deltaBias", "initialState"), fill: decay, skipsGpu: true },
    {
      axes: { ...axes, batch: 1, length: 7, channels: 5, groups: 1 },
      params: { deltaSoftplus: true },
      omit: without("B", "C", "D", "z", "deltaBias", "initialState"),
      fill: { A: decay.A },
    },
    { axes, omit: without("constantB", "constantC", "initialState", "z"), fill: decay },
    { axes, omit: without("constantB", "C", "D"), fill: decay },
    { axes, omit: without("B", "constantC"), fill: decay, skipsGpu: true },
    { axes, params: { reverse: true }, omit: without("B", "C", "z", "initialState"), fill: decay },
    {
      axes: { ...axes, length: 9, groups: 1 },
      params: { segments: 3 },
      omit: without("B", "C", "D", "z", "segmentIds", "initialState"),
      fill: { ...decay, ...packed },
    },
    {
      axes: { ...axes, length: 9, groups: 1 },
      params: { segments: 2, reverse: true, deltaSoftplus: true },
      omit: without("B", "C", "deltaBias", "segmentIds", "initialState"),
      fill: { A: decay.A, ...packed },
    },
    { axes: { batch: 1, length: 1, channels: 1, state: 3, groups: 1 }, omit: without("B", "C"), fill: decay },
    {
      axes: { batch: 1, length: 1, channels: 1, state: 1, groups: 1 },
      omit: without("B", "C"),
      fill: decay,
      skipsGpu: true,
    },
  ],
});

/** Draws all inputs of a scan. */
async function drawn(name: DeviceName, batch: number, length: number, channels: number, state: number, seed = 1) {
  const device = await sharedDevice(name);
  const random = new Random(seed);
  const make = (shape: number[], fill = normal): Tensor => tensor(fill(random, shape), shape, { device });
  return {
    device,
    u: make([batch, length, channels]),
    delta: make([batch, length, channels], uniform(0.001, 0.1)),
    A: make([channels, state], uniform(-2, -0.1)),
    B: make([batch, length, state]),
    C: make([batch, length, state]),
    D: make([channels]),
    z: make([batch, length, channels]),
    initialState: make([batch, channels, state]),
  };
}

async function largestDifference(a: Tensor, b: Tensor): Promise<number> {
  const [x, y] = [await a.read(), await b.read()];
  expect(x.length).toBe(y.length);
  return Math.max(...Array.from(x, (value, i) => Math.abs(value - y[i]!)));
}

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`selectiveScan on ${name}`, () => {
    it("is the same over a whole sequence as over any split of it with carried state", async () => {
      const { u, delta, A, B, C, D, z, initialState } = await drawn(name, 2, 150, 20, 4);
      const whole = selectiveScan(u, delta, A, B, C, { D, z, initialState });
      for (const cut of [1, 63, 64, 65, 149]) {
        const part = (x: Tensor, start: number, end: number) => slice(x, { axis: 1, start, end });
        const run = (start: number, end: number, state: Tensor) =>
          selectiveScan(
            ...([part(u, start, end), part(delta, start, end), A, part(B, start, end), part(C, start, end)] as const),
            { D, z: part(z, start, end), initialState: state },
          );
        const first = run(0, cut, initialState);
        const second = run(cut, 150, first.finalState);
        expect(await largestDifference(second.y, part(whole.y, cut, 150))).toBeLessThan(2e-6);
        expect(await largestDifference(second.finalState, whole.finalState)).toBeLessThan(1e-6);
      }
    });

    it("gives packed sequences what each would get alone, and padding nothing", async () => {
      const { device, u, delta, A, B, C, D, initialState } = await drawn(name, 1, 200, 8, 4);
      const bounds = [5, 70, 134, 190];
      const ids = Int32Array.from({ length: 200 }, (_, t) =>
        t < 5 || t >= 190 ? -1 : bounds.findIndex((bound) => t < bound) - 1,
      );
      const segmentIds = tensor(ids, [1, 200], { device });
      const both = selectiveScan(u, delta, A, B, C, { D, initialState, segmentIds, segments: 3 });
      expect(await largestDifference(both.finalState, slice(both.finalStates!, { axis: 1, start: 2 }))).toBe(0);
      for (const [segment, start] of bounds.slice(0, 3).entries()) {
        const cut = (x: Tensor) => slice(x, { axis: 1, start, end: bounds[segment + 1]! });
        const alone = selectiveScan(cut(u), cut(delta), A, cut(B), cut(C), {
          D,
          ...(segment === 0 ? { initialState } : {}),
        });
        expect(await largestDifference(alone.y, cut(both.y))).toBeLessThan(2e-6);
        const end = slice(both.finalStates!, { axis: 1, start: segment, end: segment + 1 });
        expect(await largestDifference(alone.finalState, end)).toBeLessThan(1e-6);
      }
      const y = await both.y.read();
      expect(y.slice(0, 5 * 8).every((value) => value === 0)).toBe(true);
      expect(y.slice(190 * 8).every((value) => value === 0)).toBe(true);
    });

    it("saves its inputs and one state per 64 steps for backward, and nothing of length x channels x state", async () => {
      const [batch, length, channels, state] = [2, 640, 16, 8];
      const { device, u, delta, A, B, C } = await drawn(name, batch, length, channels, state);
      const width = name === "reference" ? 8 : 4;
      let saved = 0;
      const before = device.memory().used;
      const { value, gradients } = valueAndGrad(
        (parameters: { u: Tensor; delta: Tensor }) => {
          const { y } = selectiveScan(parameters.u, parameters.delta, A, B, C);
          saved = device.memory().used - before;
          return sum(y);
        },
        { u, delta },
      );
      const outputs = batch * length * channels + batch * channels * state;
      const chunks = batch * (length / 64) * channels * state;
      expect(saved).toBeGreaterThanOrEqual((outputs + chunks) * width);
      // besides: rounding of blocks to 64 bytes, and on wasm B and C are views
      expect(saved).toBeLessThan((outputs + chunks) * width + 1024);
      expect(saved).toBeLessThan((batch * length * channels * state * width) / 4);
      for (const made of [value, gradients.u, gradients.delta]) made.dispose();
    });

    it("refuses channels that groups do not divide", async () => {
      const { device, u, delta, A } = await drawn(name, 1, 3, 5, 2);
      const B = tensor(new Float32Array(12), [1, 3, 2, 2], { device });
      expect(() => selectiveScan(u, delta, A, B, B)).toThrow(/groups dividing the 5 channels; got \[1 3 2 2\]/);
    });
  });
}

describe("selectiveScan with few channels and a long sequence", () => {
  it.runIf(fastBackends.includes("wasm"))("has the outputs and gradients of float64 across spans of time", async () => {
    const results = [];
    for (const name of ["reference", "wasm"] as const) {
      const { device, u, delta, A, B, C, D, z, initialState } = await drawn(name, 1, 1000, 5, 3, 9);
      const ids = Int32Array.from({ length: 1000 }, (_, t) => (t < 300 ? 0 : t < 310 ? -1 : t < 555 ? 1 : 2));
      const segmentIds = tensor(ids, [1, 1000], { device });
      const weights = tensor(normal(new Random(4), [1, 1000, 5]), [1, 1000, 5], { device });
      const { value, gradients } = valueAndGrad(
        (p: Record<string, Tensor>) => {
          const { y, finalState } = selectiveScan(p["u"]!, p["delta"]!, p["A"]!, p["B"]!, p["C"]!, {
            ...{ D: p["D"], z: p["z"], initialState: p["initialState"], segmentIds, segments: 3 },
          });
          return sum(mul(mul(y, weights), sum(finalState)));
        },
        { u, delta, A, B, C, D, z, initialState },
      );
      const read = await Promise.all(Object.values(gradients).map((gradient) => gradient.read()));
      results.push([await value.read(), ...read]);
    }
    const [expected, actual] = results as unknown as [ArrayLike<number>[], ArrayLike<number>[]];
    expected.forEach((want, k) => {
      const scale = Math.max(...Array.from(want, Math.abs));
      const error = Math.max(...Array.from(want, (x, i) => Math.abs(x - actual[k]![i]!)));
      expect(error / scale).toBeLessThan(2e-6);
    });
  });
});
