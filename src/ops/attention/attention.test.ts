import { describe, expect, it } from "vitest";
import { fastBackends, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { slice } from "../movement/index.ts";
import { attention } from "./index.ts";
import { attentionOp } from "./operations.ts";

const without = { omit: ["segmentIds"], ignore: ["logSumExp"] };
const sizes = (batch: number, length: number, keys: number, heads: number, width: number): OpCase => ({
  axes: { batch, length, keys, heads, width },
  params: { scale: 0.5 },
  ...without,
});
/** Rows of segments: the same for every row of the batch. */
const segments = (ids: readonly number[]): OpCase["fill"] => ({
  segmentIds: (_, [batch]) => Int32Array.from({ length: batch! * ids.length }, (_, i) => ids[i % ids.length]!),
});

testOp(attentionOp, {
  cases: [
    sizes(1, 1, 1, 1, 1),
    sizes(2, 5, 5, 2, 3),
    sizes(1, 9, 9, 1, 8),
    sizes(2, 3, 11, 2, 5),
    { ...sizes(1, 40, 40, 3, 16), params: { scale: 3 } },
    { ...sizes(2, 8, 8, 2, 4), omit: [], fill: segments([0, 0, 0, 2, 2, 5, -1, -1]) },
    { ...sizes(1, 4, 7, 1, 6), omit: [], fill: segments([0, 0, 1, 1, 1, 1, 3]) },
    { ...sizes(1, 5, 5, 1, 4), omit: [], fill: segments([-1, -1, 0, 0, 0]) },
  ],
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`attention on ${name}`, async () => {
    const device = await sharedDevice(name);
    const draw = (shape: number[], seed: number, scale = 1) =>
      tensor(
        Float32Array.from(new Random(seed).normals(shape.reduce((a, b) => a * b)), (x) => scale * x),
        shape,
        { device },
      );

    it("gives the mean of the values seen so far where all products are equal", async () => {
      const v = draw([1, 6, 1, 2], 1);
      const q = draw([1, 6, 1, 2], 2, 0);
      const values = Array.from(await v.read());
      const y = await attention(q, v, v).read();
      for (let i = 0; i < 6; i++) {
        const mean = values.filter((_, at) => at % 2 === 0 && at / 2 <= i).reduce((sum, x) => sum + x, 0) / (i + 1);
        expect(y[2 * i]).toBeCloseTo(mean, 5);
      }
    });

    it("stays finite where products are large, and then takes the value of the largest", async () => {
      const q = tensor([1e4, 0], [1, 1, 1, 2], { device, dtype: "float32" });
      const k = tensor([-3, 0, 7, 0, 6.9, 0, -5, 0, 1, 0], [1, 5, 1, 2], { device, dtype: "float32" });
      const v = tensor([1, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 1, 2], { device, dtype: "float32" });
      expect(Array.from(await attention(q, k, v).read())).toEqual([2, 3]);
    });

    it("reads slices as they lie, and gives the last queries what they get among all", async () => {
      const packed = draw([2, 7, 3, 12], 3);
      const [q, k, v] = [0, 4, 8].map((start) => slice(packed, { axis: 3, start, end: start + 4 }));
      const whole = await attention(q!, k!, v!).read();
      const last = await attention(slice(q!, { axis: 1, start: 5 }), k!, v!).read();
      const tail = [0, 1].flatMap((row) => Array.from(whole.slice((row * 7 + 5) * 12, (row * 7 + 7) * 12)));
      last.forEach((x, i) => {
        expect(x).toBeCloseTo(tail[i]!, 6);
      });
    });

    it("wants a key for every query", () => {
      const [q, k] = [draw([1, 3, 1, 2], 4), draw([1, 2, 1, 2], 5)];
      expect(() => attention(q, k, k)).toThrow(/at least as many keys as queries, 3; got 2/);
    });
  });
}
