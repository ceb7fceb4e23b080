import { describe, expect, it } from "vitest";
import { fastBackends, normal, sharedDevice } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import { mul } from "../elementwise/index.ts";
import { slice } from "../movement/index.ts";
import { adamwUpdate, adamwUpdateAll, addSquaredNorm, averageUpdate, sgdUpdate } from "./index.ts";

const options = { learningRate: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.01 };

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`optimizer updates on ${name}`, () => {
    const draw = async (size: number, seed: number): Promise<Tensor> =>
      tensor(normal(new Random(seed), [size]), [size], { device: await sharedDevice(name) });

    it("takes the first AdamW step by the learning rate, whatever the gradient's size, and decays apart from it", async () => {
      const device = await sharedDevice(name);
      const parameter = tensor([1, -2, 3], [3], { device });
      const gradient = tensor([1e-3, -5, 700], [3], { device });
      const moments = { mean: zeros([3], { device }), square: zeros([3], { device }) };
      adamwUpdate(parameter, gradient, moments, { ...options, step: 1 });
      // after one step m / (1 - beta1) = g and v / (1 - beta2) = g^2: the step is the sign of g
      const expected = [1 * 0.999 - 0.1, -2 * 0.999 + 0.1, 3 * 0.999 - 0.1];
      expect(Array.from(await parameter.read(), (x, i) => Math.abs(x - expected[i]!) < 2e-6)).toEqual([
        true,
        true,
        true,
      ]);
      const [mean, square] = [await moments.mean.read(), await moments.square.read()];
      expect(mean[2]).toBeCloseTo(70, 4);
      expect(square[2]! / 24_500).toBeCloseTo(1, 5);
    });

    it("follows float64 over many steps, with a scale on the device", async () => {
      const device = await sharedDevice(name);
      const size = 1003;
      const parameter = await draw(size, 1);
      const start = Float64Array.from(await parameter.read());
      const moments = {
        mean: zeros([size], { device, dtype: parameter.dtype }),
        square: zeros([size], { device, dtype: parameter.dtype }),
      };
      const scale = tensor([0.25], [1], { device, dtype: parameter.dtype });
      const [m, v] = [new Float64Array(size), new Float64Array(size)];
      for (let step = 1; step <= 20; step++) {
        const gradient = await draw(size, 100 + step);
        const g = Array.from(await gradient.read(), (x) => x / 4);
        adamwUpdate(parameter, gradient, moments, { ...options, step, scale });
        g.forEach((x, i) => {
          m[i] = 0.9 * m[i]! + 0.1 * x;
          v[i] = 0.95 * v[i]! + 0.05 * x * x;
          const update = m[i]! / (1 - 0.9 ** step) / (Math.sqrt(v[i]! / (1 - 0.95 ** step)) + 1e-8);
          start[i] = start[i]! * (1 - 0.1 * 0.01) - 0.1 * update;
        });
      }
      const actual = await parameter.read();
      expect(Math.max(...Array.from(actual, (x, i) => Math.abs(x - start[i]!)))).toBeLessThan(2e-6);
    });

    it("updates many parameters at once as one after the other", async () => {
      const device = await sharedDevice(name);
      // sizes that come in groups of four and others, more than are bound to one dispatch; one begins within its storage
      const sizes = [1024, 7, 4, 1030, 3, 2048, 5000, 0];
      const make = async (part: number): Promise<Tensor[]> =>
        Promise.all(sizes.map((size, i) => draw(size, 10 * part + i)));
      const shifted = async (part: number): Promise<Tensor> => slice(await draw(12, 90 + part), { start: 3, end: 11 });
      const groups = async (): Promise<Tensor[][]> =>
        Promise.all([0, 1, 2, 3].map(async (part) => [...(await make(part)), await shifted(part)]));
      const [one, all] = [await groups(), await groups()];
      const scale = tensor([0.5], [1], { device, dtype: one[0]![0]!.dtype });
      const updates = (given: Tensor[][]) =>
        given[0]!.map((parameter, i) => {
          const [gradient, mean, root] = [given[1]![i]!, given[2]![i]!, given[3]![i]!];
          const square = mul(root, root);
          return { parameter, gradient, mean, square, learningRate: 0.1 / (i + 1), weightDecay: 0.01 * i };
        });
      const { learningRate: _, weightDecay: __, ...common } = options;
      for (const update of updates(one)) adamwUpdateAll([update], { ...common, step: 2, scale });
      adamwUpdateAll(updates(all), { ...common, step: 2, scale });
      for (const part of [0, 2]) {
        for (const [i, alone] of one[part]!.entries()) expect(await all[part]![i]!.read()).toEqual(await alone.read());
      }
      const total = tensor([1], [1], { device, dtype: scale.dtype });
      addSquaredNorm(one[0]!, total);
      let expected = 1;
      for (const parameter of one[0]!) for (const value of await parameter.read()) expected += value ** 2;
      expect(Math.abs((await total.item()) / expected - 1)).toBeLessThan(1e-6);
    });

    it("wants one parameter's tensors to have one shape", async () => {
      const [four, five] = [await draw(4, 1), await draw(5, 1)];
      const moments = { mean: four, square: four };
      expect(() => adamwUpdate(four, five, moments, { ...options, step: 1 })).toThrow(
        /gradient must have the parameter's shape \[4\]; got \[5\]/,
      );
    });

    it("changes nothing when told to skip", async () => {
      const device = await sharedDevice(name);
      const parameter = await draw(9, 1);
      const before = await parameter.read();
      const moments = { mean: await draw(9, 2), square: await draw(9, 3) };
      const mean = await moments.mean.read();
      const skip = tensor(Int32Array.of(1), [1], { device });
      adamwUpdate(parameter, await draw(9, 4), moments, { ...options, step: 3, skip });
      sgdUpdate(parameter, await draw(9, 4), undefined, { learningRate: 1, momentum: 0, weightDecay: 0, skip });
      expect(await parameter.read()).toEqual(before);
      expect(await moments.mean.read()).toEqual(mean);
    });

    it("descends with momentum and decay", async () => {
      const device = await sharedDevice(name);
      const parameter = tensor([1, 2, 3, 4, 5], [5], { device });
      const gradient = tensor([1, 1, 1, 1, 1], [5], { device });
      const velocity = zeros([5], { device });
      const given = { learningRate: 0.5, momentum: 0.5, weightDecay: 0.1 };
      sgdUpdate(parameter, gradient, velocity, given);
      sgdUpdate(parameter, gradient, velocity, given);
      const expected = [1, 2, 3, 4, 5].map((p) => {
        const first = 1 + 0.1 * p;
        const next = p - 0.5 * first;
        return next - 0.5 * (0.5 * first + 1 + 0.1 * next);
      });
      expect(Math.max(...Array.from(await parameter.read(), (x, i) => Math.abs(x - expected[i]!)))).toBeLessThan(1e-6);
    });

    it("averages, and sums squares without reading back", async () => {
      const device = await sharedDevice(name);
      const average = tensor([0, 8], [2], { device });
      averageUpdate(average, tensor([4, 0], [2], { device }), 0.75);
      expect(Array.from(await average.read())).toEqual([1, 6]);
      const total = tensor([2], [1], { device });
      const many = tensor(new Float32Array(10_001).fill(2), [10_001], { device, dtype: "float32" });
      addSquaredNorm(many, tensor([0], [1], { device, dtype: "float32" }));
      const sum = tensor([2], [1], { device, dtype: "float32" });
      addSquaredNorm(many, sum);
      expect(await sum.item()).toBe(40_006);
      expect(await total.item()).toBe(2);
    });

    it("refuses views, which it could not change", async () => {
      const device = await sharedDevice(name);
      const view = slice(zeros([3, 4], { device }), { axis: 1, end: 2 });
      expect(() => averageUpdate(view, zeros([3, 2], { device }), 0.5)).toThrow(
        /average must be dense.*got a view \[3 2\]/,
      );
    });
  });
}
