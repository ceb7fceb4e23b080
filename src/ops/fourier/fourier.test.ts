import { describe, expect, it } from "vitest";
import { fastBackends, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { inverseRealFourier, realFourier } from "./index.ts";
import { inverseRealFourierOp, realFourierOp } from "./operations.ts";

const lengths = [1, 2, 3, 4, 5, 8, 12, 49, 60, 64, 97, 128];

testOp(realFourierOp, {
  cases: lengths.map(
    (length, i): OpCase => ({ axes: { length, channels: 1 + (i % 6) }, params: { adjoint: i % 3 === 0 } }),
  ),
});

testOp(inverseRealFourierOp, {
  cases: lengths.map(
    (length, i): OpCase => ({
      axes: { nodes: Math.floor(length / 2) + 1, channels: 1 + (i % 5) },
      params: { length, adjoint: i % 3 === 0 },
    }),
  ),
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`Fourier transforms on ${name}`, async () => {
    const device = await sharedDevice(name);
    const dtype = name === "reference" ? "float64" : "float32";

    it("undo each other", async () => {
      for (const length of [1, 6, 7, 30, 784]) {
        const values = Float64Array.from(new Random(length).normals(2 * length), Math.fround);
        const x = tensor(values, [length, 2], { device, dtype });
        const back = await inverseRealFourier(realFourier(x), length).read();
        for (const [i, value] of values.entries()) expect(back[i]!).toBeCloseTo(value, 5);
      }
    });

    it("find a sine at its frequency alone", async () => {
      const values = Float64Array.from({ length: 12 }, (_, t) => Math.sin((2 * Math.PI * 3 * t) / 12));
      const spectrum = await realFourier(tensor(values, [12, 1], { device, dtype })).read();
      for (let j = 0; j < 7; j++) {
        expect(spectrum[2 * j]!).toBeCloseTo(0, 5);
        expect(spectrum[2 * j + 1]!).toBeCloseTo(j === 3 ? -6 : 0, 5);
      }
    });

    it("refuse lengths that do not fit", () => {
      const spectrum = tensor(new Float64Array(8), [4, 1, 2], { device, dtype });
      expect(() => inverseRealFourier(spectrum, 8)).toThrow("length must be 6 or 7 for 4 nodes; got 8");
      expect(() => realFourier(tensor(new Float64Array(0), [0, 2], { device, dtype }))).toThrow(
        "must have a time step",
      );
    });
  });
}
