import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { DeviceName } from "../tensor/device.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { tensor } from "../tensor/tensor.ts";
import { MambaLM, mambaConfig } from "./index.ts";

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`recompute of layers on ${name}`, () => {
    it("gives the same gradients, on a carried state too, and holds less", async () => {
      const device = await sharedDevice(name);
      const model = MambaLM.create(mambaConfig({ vocabSize: 13, dModel: 16, nLayer: 4 }), { device, seed: 5 });
      const ids = tensor(
        Int32Array.from({ length: 400 }, (_, i) => (i * 7) % 13),
        [2, 200],
        { device },
      );
      const first = model.forward(ids, { logits: "none" });
      const run = async (recompute: boolean) => {
        let held = 0;
        const before = device.memory().used;
        const { value, gradients } = valueAndGrad(() => {
          const { losses, valid, state } = model.losses(ids, ids, { state: first.state, recompute });
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
      const [plain, again] = [await run(false), await run(true)];
      expect(again.loss).toBe(plain.loss);
      for (const [key, expected] of plain.read) expect(again.read.get(key)).toEqual(expected);
      expect(again.held).toBeLessThan(plain.held / 3);
      first.state.dispose();
      ids.dispose();
      model.dispose();
    });
  });
}
