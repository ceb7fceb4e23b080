import { describe, expect, it } from "vitest";
import { fastBackends, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { tensor } from "../../tensor/tensor.ts";
import { fftConv } from "./index.ts";
import { fftConvOp } from "./operations.ts";

const sizes = (batch: number, length: number, channels: number, taps = length, afterTaps?: number): OpCase => ({
  axes: { batch, length, channels, taps, afterTaps: afterTaps ?? 1 },
  ...(afterTaps === undefined ? { omit: ["after"] } : {}),
});

testOp(fftConvOp, {
  cases: [
    sizes(1, 1, 1),
    { ...sizes(1, 2, 1), omit: ["after", "D"] },
    sizes(2, 3, 5),
    sizes(2, 7, 4, 3),
    sizes(1, 5, 3, 9),
    sizes(2, 16, 8, 16, 16),
    { ...sizes(1, 33, 6, 20, 40), omit: ["D"] },
    sizes(3, 100, 2, 100, 1),
    sizes(1, 257, 5, 200, 300),
  ],
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`fftConv on ${name}`, () => {
    it("shifts by a kernel of one tap, back in time by a kernel over later steps", async () => {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const u = tensor([1, 2, 3, 4, 5], [1, 5, 1], { device, dtype });
      const shift = tensor([0, 0, 1], [3, 1], { device, dtype });
      const nothing = tensor([0], [1, 1], { device, dtype });
      const later = await fftConv(u, shift).read();
      for (const [t, expected] of [0, 0, 1, 2, 3].entries()) expect(later[t]!).toBeCloseTo(expected, 5);
      const earlier = await fftConv(u, nothing, { after: shift }).read();
      for (const [t, expected] of [4, 5, 0, 0, 0].entries()) expect(earlier[t]!).toBeCloseTo(expected, 5);
    });
  });
}
