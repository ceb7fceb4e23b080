import { describe, expect, it } from "vitest";
import { normal, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { Random } from "../../tensor/random.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { cauchy } from "./index.ts";
import { cauchyOp } from "./operations.ts";

/** Poles with negative real parts. */
const poles = (random: Random, shape: Shape): Float64Array =>
  Float64Array.from({ length: sizeOf(shape) }, (_, i) =>
    i % 2 === 0 ? -0.05 - random.uniform() : 3 * random.normal(),
  );

const sizes = (products: number, channels: number, state: number, length: number): OpCase => ({
  axes: { products, channels, state },
  params: { length },
  fill: { v: normal, w: poles },
});

testOp(cauchyOp, {
  cases: [sizes(1, 1, 1, 1), sizes(1, 2, 3, 2), sizes(4, 3, 5, 7), sizes(4, 5, 8, 64), sizes(2, 4, 16, 33)],
});

describe("cauchy", () => {
  it("is finite where z is infinite: at half the length q is the sum of both residues over 2 i", async () => {
    const device = await sharedDevice("reference");
    const v = tensor([0.3, 0.7, -0.2, 0.1], [1, 1, 2, 2], { device, dtype: "float64" });
    const w = tensor([-0.5, 2, -0.5, 9], [1, 2, 2], { device, dtype: "float64" });
    const q = await cauchy(v, w, 6).read();
    // 2 (0.3 - 0.2) / 2i
    expect(q[6]!).toBeCloseTo(0, 15);
    expect(q[7]!).toBeCloseTo(-0.1, 15);
  });
});
