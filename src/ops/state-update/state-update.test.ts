import { describe, expect, it } from "vitest";
import { fastBackends, normal, sharedDevice, testOp, uniform } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { selectiveScan } from "../selective-scan/index.ts";
import { stateUpdate } from "./index.ts";
import { stateUpdateOp } from "./operations.ts";

const fill = { A: uniform(-2, -0.1), delta: uniform(0.01, 0.5) };

testOp(stateUpdateOp, {
  // the state is part of what the op makes
  run: (inputs, params) => ({ ...apply(stateUpdateOp, inputs, params), h: inputs["h"]! }),
  cases: [
    { axes: { batch: 2, channels: 6, state: 16, groups: 2 }, fill },
    { axes: { batch: 1, channels: 5, state: 7, groups: 1 }, fill, params: { deltaSoftplus: true } },
    { axes: { batch: 3, channels: 1, state: 1, groups: 1 }, fill, omit: ["D", "z", "deltaBias"] },
  ],
});

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`stateUpdate on ${name}`, () => {
    it("is the selective scan of one sample, and leaves the old state alone unless asked", async () => {
      const device = await sharedDevice(name);
      const random = new Random(5);
      const draw = (shape: number[], by = normal): Tensor => tensor(by(random, shape), shape, { device });
      const [h, A] = [draw([2, 6, 3]), draw([6, 3], fill.A)];
      const rows = {
        u: draw([2, 6]),
        delta: draw([2, 6], fill.delta),
        z: draw([2, 6]),
        B: draw([2, 3]),
        C: draw([2, 3]),
      };
      const [D, deltaBias] = [draw([6]), draw([6])];
      const before = await h.read();
      const options = { D, deltaBias, deltaSoftplus: true };
      const step = stateUpdate(h, rows.u, rows.delta, A, rows.B, rows.C, { ...options, z: rows.z });
      const long = async (x: Tensor) => tensor(await x.read(), [2, 1, x.shape[1]!], { device, dtype: x.dtype });
      const scan = selectiveScan(
        await long(rows.u),
        await long(rows.delta),
        A,
        await long(rows.B),
        await long(rows.C),
        {
          ...options,
          z: await long(rows.z),
          initialState: h,
        },
      );
      for (const [a, b] of [
        [step.y, scan.y],
        [step.state, scan.finalState],
      ] as const) {
        const [x, y] = [await a.read(), await b.read()];
        expect(Math.max(...Array.from(x, (value, i) => Math.abs(value - y[i]!)))).toBeLessThan(1e-6);
      }
      expect(await h.read()).toEqual(before);
      const inPlace = stateUpdate(h, rows.u, rows.delta, A, rows.B, rows.C, { ...options, inPlace: true });
      expect(await h.read()).toEqual(await inPlace.state.read());
      expect(await h.read()).not.toEqual(before);
    });
  });
}
