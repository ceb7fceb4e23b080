import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { DeviceName } from "../tensor/device.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { MambaLM, mambaConfig, type Recompute } from "./index.ts";

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`recompute on ${name}`, () => {
    it("gives the same gradients, on a carried state and over segments too, and holds less", async () => {
      const device = await sharedDevice(name);
      const dtype = name === "reference" ? "float64" : "float32";
      const model = MambaLM.create(mambaConfig({ vocabSize: 13, dModel: 16, nLayer: 3 }), { device, dtype, seed: 5 });
      const ids = tensor(
        Int32Array.from({ length: 160 }, (_, i) => (i * 7) % 13),
        [2, 80],
        { device },
      );
      const first = model.forward(ids, { logits: "none" });
      const rows = Int32Array.from({ length: 160 }, (_, i) => (i % 80 < 30 ? 0 : i % 80 < 75 ? 1 : -1));
      const segmentIds = tensor(rows, [2, 80], { device });
      const run = async (recompute: Recompute, options: { segmentIds?: Tensor } = {}) => {
        let held = 0;
        const before = device.memory().used;
        const { value, gradients } = valueAndGrad(() => {
          const { losses, valid, state } = model.losses(ids, ids, { state: first.state, recompute, ...options });
          const total = sum(losses);
          for (const made of [losses, valid]) made.dispose();
          state.dispose();
          held = device.memory().used - before;
          return total;
        }, model.parameters);
        const read = new Map<string, ArrayLike<number>>();
        for (const [key, gradient] of flattenParameters(gradients)) {
          read.set(key, await gradient.read());
          gradient.dispose();
        }
        const loss = await value.item();
        value.dispose();
        return { loss, read, held };
      };
      const compare = async (levels: [Recompute, share: number][], options: { segmentIds?: Tensor }) => {
        const plain = await run("none", options);
        for (const [recompute, share] of levels) {
          const again = await run(recompute, options);
          expect(again.loss).toBe(plain.loss);
          for (const [key, expected] of plain.read) expect(again.read.get(key)).toEqual(expected);
          expect(again.held / plain.held).toBeLessThan(share);
        }
      };
      await compare(
        [
          [true, 0.36],
          ["cheap", 0.72],
        ],
        {},
      );
      await compare([["cheap", 0.72]], { segmentIds });
      first.state.dispose();
      for (const made of [ids, segmentIds]) made.dispose();
      model.dispose();
    }, 60_000);
  });
}
