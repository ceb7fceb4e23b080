import { describe, expect, it } from "vitest";
import { fastBackends, maxError, type OpCase, sharedDevice, testOp, uniform } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { tridiagonalSolve } from "./index.ts";
import { tridiagonalSolveOp } from "./operations.ts";

const sizes = (systems: number, state: number, columns: number): OpCase => ({
  axes: { systems, state, columns },
  fill: { diagonal: uniform(2.5, 4), lower: uniform(-1, 1), upper: uniform(-1, 1) },
});

testOp(tridiagonalSolveOp, {
  cases: [sizes(1, 1, 1), sizes(1, 2, 3), sizes(3, 5, 1), sizes(2, 9, 70), sizes(70, 3, 2)],
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`tridiagonalSolve on ${name}`, () => {
    it("gives back what the matrix was multiplied by", async () => {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const random = new Random(3);
      const size = 12;
      const [lower, upper, wanted] = [random.normals(size), random.normals(size), random.normals(size)];
      const diagonal = Float64Array.from(random.normals(size), (x) => 4 + x);
      const x = Float64Array.from(wanted, (y, i) => {
        const before = i > 0 ? lower[i]! * wanted[i - 1]! : 0;
        return before + diagonal[i]! * y + (i < size - 1 ? upper[i]! * wanted[i + 1]! : 0);
      });
      const row = (values: Float64Array, ...shape: number[]) => tensor(values, shape, { device, dtype });
      const T = { lower: row(lower, 1, size), diagonal: row(diagonal, 1, size), upper: row(upper, 1, size) };
      const y = await tridiagonalSolve(T, row(x, 1, size, 1)).read();
      expect(maxError(y, wanted)).toBeLessThan(name === "reference" ? 1e-13 : 1e-6);
    });
  });
}
