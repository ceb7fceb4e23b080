import { describe, expect, it } from "vitest";
import {
  fastBackends,
  maxError,
  normal,
  type OpCase,
  sharedDevice,
  testOp,
  uniform,
} from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { slice } from "../movement/index.ts";
import { diagonalScan } from "./index.ts";
import { diagonalScanOp } from "./operations.ts";

/** Decaying and turning: real parts from -1 to 0, imaginary parts up to `fastest`. */
const stable =
  (fastest: number) =>
  (random: Random, shape: Shape): Float64Array =>
    Float64Array.from({ length: sizeOf(shape) }, (_, i) =>
      i % 2 === 0 ? -random.uniform() : fastest * (2 * random.uniform() - 1),
    );

const sizes = (
  batch: number,
  length: number,
  channels: number,
  state: number,
  bilinear = false,
  fastest = 3,
): OpCase => ({
  axes: { batch, length, channels, state },
  params: { bilinear, conjugate: state % 2 === 0 },
  fill: { A: stable(fastest), delta: uniform(0, 1), gain: normal },
  ignore: ["chunkStates"],
});

testOp(diagonalScanOp, {
  cases: [
    sizes(1, 1, 1, 1),
    sizes(2, 3, 5, 3, true),
    { ...sizes(2, 70, 3, 8, false, 30), omit: ["initialState"] },
    sizes(1, 20, 2, 66, true),
  ],
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`diagonalScan on ${name}`, () => {
    it("holds an input between samples exactly, wherever they lie", async () => {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const random = new Random(2);
      const length = 40;
      const deltas = Float64Array.from({ length }, () => random.uniform());
      const of = (values: Float64Array | number[], ...shape: number[]) => tensor(values, shape, { device, dtype });
      // B = 1 and a constant input 1: h(t) = (exp(A t) - 1) / A
      const A: [number, number] = [-0.3, 2];
      const size = A[0] ** 2 + A[1] ** 2;
      const [u, delta] = [of(new Float64Array(length).fill(1), 1, length, 1), of(deltas, 1, length, 1)];
      const gain = of([A[0] / size, -A[1] / size], 1, 1, 2);
      const scan = (from: number, to: number, initialState?: ReturnType<typeof of>) =>
        diagonalScan(
          ...([slice(u, { axis: 1, start: from, end: to }), slice(delta, { axis: 1, start: from, end: to })] as const),
          ...([of(A, 1, 1, 2), gain, of([1, 0], 1, 1, 2)] as const),
          { initialState },
        );
      let time = 0;
      const expected = deltas.map((step) => {
        time += step;
        const [re, im] = [
          Math.exp(A[0] * time) * Math.cos(A[1] * time) - 1,
          Math.exp(A[0] * time) * Math.sin(A[1] * time),
        ];
        return (2 * (re * A[0] + im * A[1])) / size;
      });
      const tolerance = name === "reference" ? 1e-13 : 1e-6;
      expect(maxError(await scan(0, length).y.read(), expected)).toBeLessThan(tolerance);
      const { y } = scan(17, length, scan(0, 17).finalState);
      expect(maxError(await y.read(), expected.slice(17))).toBeLessThan(tolerance);
    });
  });
}
