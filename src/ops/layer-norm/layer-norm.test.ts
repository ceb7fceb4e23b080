import { describe, expect, it } from "vitest";
import { sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { tensor } from "../../tensor/tensor.ts";
import { layerNorm } from "./index.ts";
import { addLayerNormOp, layerNormBackwardOp, layerNormOp } from "./operations.ts";

const params = { epsilon: 1e-5 };
const sizes = [
  { leading: [3], axes: { channels: 8 } },
  { leading: [2, 3], axes: { channels: 37 } },
  { leading: [130], axes: { channels: 96 } },
];
testOp(layerNormOp, {
  cases: sizes.flatMap((size) => [
    { ...size, params, omit: ["residual"] },
    { ...size, params, omit: ["residual", "bias"] },
    { ...size, params, omit: ["residual", "weight"] },
    { ...size, params, omit: ["residual", "weight", "bias"] },
  ]),
});
testOp(addLayerNormOp, {
  cases: sizes.flatMap((size) => [
    { ...size, params },
    { ...size, params, ignore: ["sum"] },
    { ...size, params, ignore: ["y"] },
  ]),
});
testOp(layerNormBackwardOp, {
  differentiable: false,
  cases: sizes.flatMap((size) => [
    { ...size, params: { ...params, bias: true } },
    { ...size, params, omit: ["weight", "dsum"] },
  ]),
});

describe("layerNorm", () => {
  it("gives rows of mean 0 and variance 1, then scales and shifts them", async () => {
    const device = await sharedDevice("reference");
    const x = tensor(Float64Array.of(1, 2, 3, 4), [1, 4], { device });
    const deviation = Math.sqrt(1.25);
    const unit = [-1.5, -0.5, 0.5, 1.5].map((value) => value / deviation);
    const { y, sum } = layerNorm(x, undefined, undefined, { epsilon: 0 });
    expect([...(await y.read())]).toEqual(unit.map((value) => expect.closeTo(value, 14)));
    expect(sum).toBe(x);
    const weight = tensor(Float64Array.of(2, 2, 2, 2), [4], { device });
    const bias = tensor(Float64Array.of(1, 1, 1, 1), [4], { device });
    const moved = layerNorm(x, weight, bias, { epsilon: 0 }).y;
    expect([...(await moved.read())]).toEqual(unit.map((value) => expect.closeTo(2 * value + 1, 14)));
  });

  it("keeps its accuracy when the mean is far larger than the deviation", async () => {
    const device = await sharedDevice("reference");
    const x = tensor(
      Float64Array.of(1, 2, 3, 4).map((value) => value + 1e6),
      [1, 4],
      { device },
    );
    const { y } = layerNorm(x, undefined, undefined, { epsilon: 0 });
    expect((await y.read())[0]).toBeCloseTo(-1.5 / Math.sqrt(1.25), 9);
  });
});
