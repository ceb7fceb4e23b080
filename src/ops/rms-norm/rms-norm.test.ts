import { describe, expect, it } from "vitest";
import { sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { tensor } from "../../tensor/tensor.ts";
import { rmsNorm } from "./index.ts";
import { addRmsNormOp, rmsNormBackwardOp, rmsNormOp } from "./operations.ts";

const params = { epsilon: 1e-5 };
const sizes = [
  { params, leading: [3], axes: { channels: 8 } },
  { params, leading: [2, 3], axes: { channels: 37 } },
  // of one channel only epsilon keeps the gradient from cancelling, so it must be large for float32
  { params: { epsilon: 0.5 }, leading: [1], axes: { channels: 1 } },
  { params, leading: [130], axes: { channels: 96 } },
];
testOp(rmsNormOp, {
  cases: sizes.flatMap((size) => [
    { ...size, omit: ["residual"] },
    { ...size, omit: ["residual", "weight"] },
  ]),
});
testOp(addRmsNormOp, {
  cases: sizes.flatMap((size) => [
    size,
    { ...size, omit: ["weight"] },
    { ...size, ignore: ["sum"] },
    { ...size, ignore: ["y"] },
  ]),
});
testOp(rmsNormBackwardOp, {
  differentiable: false,
  cases: sizes.flatMap((size) => [size, { ...size, omit: ["weight", "dsum"] }]),
});

describe("rmsNorm", () => {
  it("gives rows of mean square 1 and passes x on as its own sum", async () => {
    const device = await sharedDevice("reference");
    const x = tensor(Float64Array.of(1, -2, 2, 4, 0, 3), [2, 3], { device });
    const { y, sum } = rmsNorm(x, undefined, { epsilon: 0 });
    const values = await y.read();
    expect((values[0]! ** 2 + values[1]! ** 2 + values[2]! ** 2) / 3).toBeCloseTo(1, 14);
    expect(values[3]! / values[5]!).toBeCloseTo(4 / 3, 14);
    expect(sum).toBe(x);
  });

  it("adds the residual before the norm and returns the sum", async () => {
    const device = await sharedDevice("reference");
    const x = tensor(Float64Array.of(3, 0), [1, 2], { device });
    const residual = tensor(Float64Array.of(0, 4), [1, 2], { device });
    const weight = tensor(Float64Array.of(1, 10), [2], { device });
    const { y, sum } = rmsNorm(x, weight, { residual, epsilon: 0 });
    expect([...(await sum.read())]).toEqual([3, 4]);
    const root = Math.sqrt(12.5);
    expect([...(await y.read())]).toEqual([expect.closeTo(3 / root, 14), expect.closeTo(40 / root, 14)]);
  });

  it("says which argument does not fit", async () => {
    const device = await sharedDevice("reference");
    const x = tensor([1, 2, 3, 4], [2, 2], { device });
    const weight = tensor([1, 2, 3], [3], { device });
    expect(() => rmsNorm(x, weight)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: rmsNorm: weight must have shape [channels]; axis "channels" is 2 in x but 3 in weight (got [3]); pass a fitting tensor]`,
    );
    expect(() => rmsNorm(x, undefined, { residual: weight })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: rmsNorm: residual must have shape [... channels]; leading axes are [2] in x but [] in residual; reshape one of them]`,
    );
  });
});
