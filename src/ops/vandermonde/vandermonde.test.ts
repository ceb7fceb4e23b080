import { describe, expect, it } from "vitest";
import { fastBackends, normal, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import type { Random } from "../../tensor/random.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { vandermonde } from "./index.ts";
import { vandermondeOp } from "./operations.ts";

/** Decaying and turning: real parts from -0.2 to 0, imaginary parts up to `fastest`. */
const stable =
  (fastest: number) =>
  (random: Random, shape: Shape): Float64Array =>
    Float64Array.from({ length: sizeOf(shape) }, (_, i) =>
      i % 2 === 0 ? -0.2 * random.uniform() : fastest * (2 * random.uniform() - 1),
    );

const sizes = (channels: number, state: number, length: number, conjugate = true, fastest = 3): OpCase => ({
  axes: { channels, state },
  params: { length, conjugate },
  fill: { v: normal, x: stable(fastest) },
});

testOp(vandermondeOp, {
  cases: [
    sizes(1, 1, 1),
    sizes(1, 1, 2, false),
    sizes(3, 5, 7),
    sizes(4, 8, 64),
    sizes(5, 3, 65, false),
    sizes(6, 16, 200),
    sizes(2, 32, 129, true, 130),
  ],
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`vandermonde on ${name}`, () => {
    it("is a geometric sequence for a real term, and a cosine for a turning one", async () => {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const v = tensor([1, 0, 0.5, 0], [2, 1, 2], { device, dtype });
      const x = tensor([Math.log(0.5), 0, 0, Math.PI / 3], [2, 1, 2], { device, dtype });
      const k = await vandermonde(v, x, { length: 7, conjugate: true }).read();
      for (let t = 0; t < 7; t++) {
        expect(k[2 * t]!).toBeCloseTo(2 * 0.5 ** t, 5);
        expect(k[2 * t + 1]!).toBeCloseTo(Math.cos((Math.PI / 3) * t), 5);
      }
    });

    it("refuses lengths that cannot be", async () => {
      const device = await sharedDevice(name);
      const v = tensor([1, 0], [1, 1, 2], { device });
      for (const length of [-1, 1.5, Number.NaN]) {
        expect(() => vandermonde(v, v, { length })).toThrow("vandermonde: length must be a whole number");
      }
    });
  });
}
