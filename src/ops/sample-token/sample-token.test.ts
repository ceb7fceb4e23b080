import { describe, expect, it } from "vitest";
import { fastBackends, indices, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { type SampleTokenOptions, sampleToken } from "./index.ts";
import { sampleTokenOp } from "./operations.ts";

const fill = { ids: indices(9), history: indices(9), count: indices(7), draws: indices(50) };
const all = { temperature: 1, topK: 0, topP: 1, minP: 0, seedLow: 5, seedHigh: 1 };

testOp(sampleTokenOp, {
  // everything that it makes is in what it changes
  run: (inputs, params) => {
    apply(sampleTokenOp, inputs, params);
    const { ids, history, count, draws } = inputs as Record<string, Tensor>;
    return { ids: ids!, history: history!, count: count!, draws: draws! };
  },
  cases: [
    { axes: { batch: 1, vocab: 1, slots: 1, two: 2 }, fill, params: all },
    { axes: { batch: 40, vocab: 17, slots: 2, two: 2 }, fill, params: { ...all, temperature: 0.7 } },
    { axes: { batch: 30, vocab: 300, slots: 3, two: 2 }, fill, params: { ...all, topK: 7, temperature: 2 } },
    { axes: { batch: 30, vocab: 301, slots: 3, two: 2 }, fill, params: { ...all, topP: 0.6 } },
    { axes: { batch: 20, vocab: 900, slots: 3, two: 2 }, fill, params: { ...all, topK: 60, topP: 0.5, minP: 0.1 } },
    { axes: { batch: 20, vocab: 70, slots: 3, two: 2 }, fill, params: { ...all, topK: 100, topP: 0.01 } },
  ],
});

const options: SampleTokenOptions = { temperature: 1, topK: 0, topP: 1, minP: 0, seed: 3 };

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`sampleToken on ${name}`, () => {
    /** What is drawn of rows of logits, and the words that were used. */
    const drawn = async (rows: readonly (readonly number[])[], given: Partial<SampleTokenOptions> = {}) => {
      const device = await sharedDevice(name);
      const own = (shape: number[]): Tensor => zeros(shape, { device, dtype: "int32" });
      const logits = tensor(Float32Array.from(rows.flat()), [rows.length, rows[0]!.length], { device });
      const streams = Int32Array.from({ length: 2 * rows.length }, (_, i) => (i % 2 ? 10 : i / 2));
      const draws = tensor(streams, [rows.length, 2], { device });
      const into = { ids: own([rows.length]), history: own([1, rows.length]), count: own([1]), draws };
      sampleToken(logits, into, { ...options, ...given });
      const words = Array.from(await draws.read()).filter((_, i) => i % 2);
      return { ids: Array.from(await into.ids.read()), history: Array.from(await into.history.read()), words };
    };

    it("of equal logits keeps the lowest ids, and draws each as often", async () => {
      const rows = Array.from({ length: 90 }, () => [1, 3, 3, -0, 3, 3, 0]);
      const counts = (ids: number[]): number[] =>
        [0, 1, 2, 3, 4, 5, 6].map((id) => ids.filter((one) => one === id).length);
      expect((await drawn(rows, { topK: 1 })).ids.every((id) => id === 1)).toBe(true);
      const three = counts((await drawn(rows, { topK: 3 })).ids);
      const half = counts((await drawn(rows, { topP: 0.45 })).ids);
      for (const found of [three, half]) {
        expect(found[0]! + found[3]! + found[6]!).toBe(0);
      }
      for (const id of [1, 2, 4]) expect(Math.abs(three[id]! - 30)).toBeLessThan(18);
      for (const id of [1, 2]) expect(Math.abs(half[id]! - 45)).toBeLessThan(20);
    });

    it("draws by weight, and nothing that minP or -Infinity leaves out", async () => {
      const rows = Array.from({ length: 100 }, () => [0, Math.log(3), Number.NEGATIVE_INFINITY, -4]);
      const { ids, words } = await drawn(rows, { minP: 0.2 });
      expect(ids.every((id) => id < 2)).toBe(true);
      expect(Math.abs(ids.filter((id) => id === 1).length - 75)).toBeLessThan(18);
      expect(words.every((word) => word === 11)).toBe(true);
    });

    it("says where there is nothing to draw from, and uses no random number then", async () => {
      const [infinity, nan] = [Number.POSITIVE_INFINITY, Number.NaN];
      const rows = [
        [1, nan, 2],
        [1, 3, infinity],
        [-infinity, -infinity, -infinity],
        [-infinity, -3e38, -infinity],
      ];
      expect(await drawn(rows)).toEqual({ ids: [0, 0, 0, 1], history: [-1, -1, -1, 1], words: [10, 10, 10, 11] });
    });
  });
}
