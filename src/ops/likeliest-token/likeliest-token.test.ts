import { describe, expect, it } from "vitest";
import { fastBackends, indices, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import { slice } from "../movement/index.ts";
import { apply } from "../op.ts";
import { likeliestToken } from "./index.ts";
import { likeliestTokenOp } from "./operations.ts";

const fill = { ids: indices(9), history: indices(9), count: indices(7) };

testOp(likeliestTokenOp, {
  // everything that it makes is in what it changes
  run: (inputs, params) => {
    apply(likeliestTokenOp, inputs, params);
    return { ids: inputs["ids"]!, history: inputs["history"]!, count: inputs["count"]! };
  },
  cases: [
    { axes: { batch: 1, vocab: 1, slots: 1 }, fill },
    { axes: { batch: 3, vocab: 7, slots: 2 }, fill },
    { axes: { batch: 2, vocab: 2048, slots: 5 }, fill },
    { axes: { batch: 1, vocab: 5003, slots: 4 }, fill },
    { axes: { batch: 300, vocab: 5, slots: 3 }, fill },
  ],
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`likeliestToken on ${name}`, () => {
    const chosen = async (rows: readonly (readonly number[])[]): Promise<[ids: number[], history: number[]]> => {
      const device = await sharedDevice(name);
      const own = (shape: number[]): Tensor => zeros(shape, { device, dtype: "int32" });
      const logits = tensor(Float32Array.from(rows.flat()), [rows.length, rows[0]!.length], { device });
      const into = { ids: own([rows.length]), history: own([1, rows.length]), count: own([1]) };
      likeliestToken(logits, into);
      return [Array.from(await into.ids.read()), Array.from(await into.history.read())];
    };

    it("takes the lowest of equal ids, wherever they lie", async () => {
      const long = Array.from({ length: 5000 }, (_, i) => (i === 4999 || i === 2300 || i === 2299 ? 2 : -1));
      expect(await chosen([long])).toEqual([[2299], [2299]]);
      expect(await chosen([[0, -0, 0]])).toEqual([[0], [0]]);
    });

    it("says where there is no likeliest id", async () => {
      const [infinity, nan] = [Number.POSITIVE_INFINITY, Number.NaN];
      const rows = [
        [1, nan, 2],
        [1, 3, infinity],
        [-infinity, -infinity, -infinity],
        [-infinity, -3e38, -infinity],
        [-5, -4, -6],
      ];
      expect(await chosen(rows)).toEqual([
        [0, 0, 0, 1, 1],
        [-1, -1, -1, 1, 1],
      ]);
    });

    it("goes round in the history, on rows of any stride", async () => {
      const device = await sharedDevice(name);
      const own = (shape: number[]): Tensor => zeros(shape, { device, dtype: "int32" });
      const into = { ids: own([2]), history: own([2, 2]), count: own([1]) };
      for (let step = 0; step < 3; step++) {
        const wide = tensor(
          Float32Array.from({ length: 10 }, (_, i) => (i % 5 === step || i % 5 > 3 ? 1 : 0)),
          [2, 5],
          { device },
        );
        likeliestToken(slice(wide, { axis: 1, end: 4 }), into);
      }
      expect(Array.from(await into.history.read())).toEqual([2, 2, 1, 1]);
      expect(await into.count.item()).toBe(3);
    });
  });
}
