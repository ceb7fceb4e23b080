import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { readMambaConfig, writeMambaConfig } from "../checkpoints/index.ts";
import { MambaMixer } from "../layers/mamba-mixer.ts";
import { initialiseMambaMixer } from "../layers/mamba-mixer-initialise.ts";
import { sum } from "../ops/reduce/index.ts";
import type { DeviceName } from "../tensor/device.ts";
import { Random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { MambaLM, mambaConfig } from "./index.ts";
import { mixerConfig } from "./mamba-parameters.ts";

const base = { vocabSize: 11, dModel: 8, nLayer: 1, dState: 4 };

/** Response of a mixer's recurrence at the last step to a pulse at step `at`, with the same samples around it. */
async function scanInputs(name: DeviceName, selective: boolean) {
  const device = await sharedDevice(name);
  const config = mambaConfig({ ...base, selective, convBias: false });
  const start = { ...config.initialisation, outProjDivisor: 1 };
  const parameters = initialiseMambaMixer(mixerConfig(config), start, { device, random: new Random(3) });
  const mixer = new MambaMixer(mixerConfig(config), parameters);
  const random = new Random(5);
  const values = Float32Array.from(random.normals(12 * 8));
  const run = async (scale: number) => {
    const x = tensor(
      values.map((value) => value * scale),
      [1, 12, 8],
      { device },
    );
    const { state } = mixer.forward(x);
    return { conv: await state.conv.read(), ssm: await state.ssm.read() };
  };
  return { small: await run(1e-4), twice: await run(2e-4) };
}

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`a model without selection on ${name}`, () => {
    it("has a recurrence that is linear in its input where the convolution's SiLU is; with selection it is not", async () => {
      // SiLU(x) is x / 2 for small x: the state of a time-invariant recurrence doubles with the input, while with
      // selection the products of B and u, both proportional to the input, make it four times as large
      for (const [selective, factor] of [
        [false, 2],
        [true, 4],
      ] as const) {
        const { small, twice } = await scanInputs(name, selective);
        const size = (values: ArrayLike<number>) => Math.max(...Array.from(values, Math.abs));
        expect(size(twice.ssm) / size(small.ssm)).toBeGreaterThan(factor * 0.97);
        expect(size(twice.ssm) / size(small.ssm)).toBeLessThan(factor * 1.03);
      }
    });

    it("steps, trains and is saved like any other", async () => {
      const device = await sharedDevice(name);
      const config = mambaConfig({ ...base, selective: false });
      expect(readMambaConfig(writeMambaConfig(config)).selective).toBe(false);
      const model = MambaLM.create(config, { device, seed: 2 });
      const ids = tensor(Int32Array.of(1, 2, 3, 4), [1, 4], { device });
      const whole = model.forward(ids, { logits: "last" });
      let state = model.initialState(1);
      let logits: ArrayLike<number> = [];
      for (const id of [1, 2, 3, 4]) {
        const step = model.forward(tensor(Int32Array.of(id), [1, 1], { device }), { state, consume: true });
        state = step.state;
        logits = await step.logits!.read();
      }
      const expected = await whole.logits!.read();
      expect(Math.max(...Array.from(expected, (x, i) => Math.abs(x - logits[i]!)))).toBeLessThan(1e-6);
      const { gradients } = valueAndGrad((p) => {
        expect(p).toBe(model.parameters);
        return sum(model.losses(ids, ids).losses);
      }, model.parameters);
      const gradient = await gradients.backbone.layers[0]!.mixer.xProj.weight.read();
      expect(Math.max(...Array.from(gradient, Math.abs))).toBeGreaterThan(0);
    });
  });
}
