import { describe, expect, it } from "vitest";
import { sharedDevice, testOp, uniform } from "../../../test/kit/test-op.ts";
import { tensor } from "../../tensor/tensor.ts";
import { logSoftmax, softmax } from "./index.ts";
import { logSoftmaxBackwardOp, logSoftmaxOp, softmaxBackwardOp, softmaxOp } from "./operations.ts";

const sizes = [
  { leading: [3], axes: { classes: 8 } },
  { leading: [2, 3], axes: { classes: 37 } },
  { leading: [2], axes: { classes: 1 } },
  { leading: [3], axes: { classes: 1031 } },
];
testOp(softmaxOp, { cases: sizes });
testOp(logSoftmaxOp, { cases: sizes });
testOp(softmaxBackwardOp, { cases: sizes.map((size) => ({ ...size, fill: { y: uniform(0, 1) } })) });
testOp(logSoftmaxBackwardOp, { cases: sizes.map((size) => ({ ...size, fill: { y: uniform(-4, -1) } })) });

describe("softmax", () => {
  it("gives probabilities in the ratio of the exponentials", async () => {
    const device = await sharedDevice("reference");
    const x = tensor(Float64Array.of(0, Math.log(2), Math.log(5)), [1, 3], { device });
    const expected = [1 / 8, 2 / 8, 5 / 8];
    expect([...(await softmax(x).read())]).toEqual(expected.map((p) => expect.closeTo(p, 15)));
    expect([...(await logSoftmax(x).read())]).toEqual(expected.map((p) => expect.closeTo(Math.log(p), 14)));
  });

  it("does not change when a constant is added, however large", async () => {
    const device = await sharedDevice("reference");
    const x = tensor(Float64Array.of(0, 1, 3, 1000, 1001, 1003, -1000, -999, -997), [3, 3], { device });
    const y = await softmax(x).read();
    expect([...y.subarray(3, 6)]).toEqual([...y.subarray(0, 3)].map((p) => expect.closeTo(p, 12)));
    expect([...y.subarray(6)]).toEqual([...y.subarray(0, 3)].map((p) => expect.closeTo(p, 12)));
  });

  it("keeps log-probabilities that are too small for a probability", async () => {
    const device = await sharedDevice("reference");
    const x = tensor(Float64Array.of(0, -2000, Number.NEGATIVE_INFINITY), [1, 3], { device });
    expect([...(await logSoftmax(x).read())]).toEqual([0, -2000, Number.NEGATIVE_INFINITY]);
    expect([...(await softmax(x).read())]).toEqual([1, 0, 0]);
  });
});
