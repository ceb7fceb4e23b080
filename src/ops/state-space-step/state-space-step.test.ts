import { describe, expect, it } from "vitest";
import { type OpCase, testOp, uniform } from "../../../test/kit/test-op.ts";
import { tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { stateSpaceStep } from "./index.ts";
import { stateSpaceStepOp } from "./operations.ts";

const sizes = (batch: number, features: number, pairs: number, outputs: number, rows: number): OpCase => ({
  axes: { batch, features, pairs, outputs, rows, complex: 2 },
  fill: { system: uniform(-0.9, 0.9) },
});

testOp(stateSpaceStepOp, {
  cases: [sizes(1, 1, 1, 1, 2), sizes(2, 3, 5, 2, 2), sizes(2, 3, 5, 2, 5), sizes(1, 2, 33, 1, 5)],
});

describe("stateSpaceStep", () => {
  it("is the formula, in numbers that can be checked by hand", async () => {
    const device = await openDevice("reference");
    const of = (values: number[], ...shape: number[]) =>
      tensor(Float64Array.from(values), shape, { device, dtype: "float64" });
    const C = of([1, -1], 1, 1, 1, 2);
    const D = of([10], 1, 1);
    const u = of([2], 1, 1);
    const state = of([1, 3], 1, 1, 1, 2);
    // (1 + 2i)(1 + 3i) + 2 (1 + i) = -3 + 7i; 2 Re (1 - i)(-3 + 7i) + 20 = 28
    const diagonal = stateSpaceStep({ system: of([1, 2, 1, 1], 2, 1, 1, 2), C, D }, u, state);
    expect([...(await diagonal.next.read())]).toEqual([-3, 7]);
    expect([...(await diagonal.y.read())]).toEqual([28]);
    // P = 1: -3 + 7i - 2 = -5 + 7i; times W = i: -7 - 5i; S = 1/2: -7 - 5i + 7 = -5i; 2 Re (1 - i)(-5i) + 20 = 10
    const lowRank = stateSpaceStep({ system: of([1, 2, 1, 1, 0, 1, 1, 0, 0.5, 0], 5, 1, 1, 2), C, D }, u, state);
    expect([...(await lowRank.next.read())]).toEqual([0, -5]);
    expect([...(await lowRank.y.read())]).toEqual([10]);
    const wrong = () => stateSpaceStep({ system: of([1, 2], 1, 1, 1, 2), C, D }, u, state);
    expect(wrong).toThrow("system must have 2 or 5 rows");
  });
});
