import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { mul } from "../elementwise/index.ts";
import { transpose } from "../movement/index.ts";
import { sum } from "../reduce/index.ts";
import { selectiveScan } from "./index.ts";

const g = (k: number): number => Math.sin(1.3 * k + 0.7);

/** One sequence of 4 steps, 2 channels, 2 states, made of sines; worked out in float64 by other programs, to 9 decimals. */
const known: Record<string, readonly number[]> = {
  y: [-0.25979413, -0.061663571, -0.114825395, -0.254129218, 0.168452656, -0.700648173, -0.019514515, -0.23119255],
  finalState: [0.809967234, 0.736493566, 0.502963603, 0.53649282],
  u: [0.287435543, -0.021728641, -0.02735874, 0.213740534, -0.243772671, 0.701201199, 0.018966466, 0.305661663],
  delta: [0.046763254, -0.044285602, 0.029725305, -0.077888743, 0.045190782, 0.04099792, 0.003205536, -0.026600159],
  A: [-0.015156311, -0.103181985, 0.034366777, -0.004579161],
  B: [0.12379417, -0.200082263, -0.004752861, 0.012329784, 0.064128513, 0.144064566, 0.021027394, 0.242548182],
  C: [-0.094643154, -0.153264228, -0.008906817, -0.2552211, -0.006168629, -0.375292377, -0.026649174, -0.242278778],
  D: [-0.213208028, -0.478085467],
  z: [0.243921353, 0.228411807, 0.014958973, 0.184143948, 0.102700133, 0.790833659, 0.35625177, 0.036967533],
  deltaBias: [-0.045685786, 0.06279408],
  initialState: [0.266519526, 0.416286914, -0.168884049, 0.005974808],
};
/** Those that are stored with time last. */
const timed = new Set(["y", "u", "delta", "B", "C", "z"]);

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`selectiveScan on ${name}`, () => {
    it("has the known outputs, last state and gradients of a small scan", async () => {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const filled = (from: number, shape: number[], f = g): Tensor => {
        const size = shape.reduce((product, axis) => product * axis, 1);
        return tensor(
          Float64Array.from({ length: size }, (_, i) => f(from + i)),
          shape,
          { device, dtype },
        );
      };
      // [1 time width] read off a table with time last
      const rows = (from: number): Tensor =>
        filled(from, [1, 4, 2], (k) => g(from + ((k - from) % 2) * 4 + ((k - from) >> 1)));
      const leaves = {
        ...{ u: rows(0), delta: rows(100), A: filled(200, [2, 2], (k) => -Math.exp(g(k))), B: rows(300), C: rows(400) },
        ...{ D: filled(500, [2]), z: rows(600), deltaBias: filled(700, [2]) },
        initialState: tensor(new Float64Array(4), [1, 2, 2], { device, dtype }),
      };
      const dy = rows(800);
      const { aux, gradients } = valueAndGrad(({ u, delta, A, B, C, ...rest }: Record<string, Tensor>) => {
        const made = selectiveScan(u!, delta!, A!, B!, C!, { ...rest, deltaSoftplus: true });
        return { value: sum(mul(made.y, dy)), aux: made };
      }, leaves);
      const found: Record<string, Tensor> = { ...aux!, ...gradients };
      expect(Object.keys(found).sort()).toEqual(Object.keys(known).sort());
      for (const [key, expected] of Object.entries(known)) {
        const made = timed.has(key) ? transpose(found[key]!) : found[key]!;
        const values = await made.read();
        const error = Math.max(...expected.map((value, i) => Math.abs(value - values[i]!)));
        expect(error, key).toBeLessThan(name === "reference" ? 1e-9 : 1e-6);
      }
    });
  });
}
