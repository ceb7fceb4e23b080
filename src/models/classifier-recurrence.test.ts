import { describe, expect, it } from "vitest";
import { maxError, sharedDevice } from "../../test/kit/test-op.ts";
import { Random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import {
  type ClassifierMixerConfig,
  ClassifierRecurrence,
  SequenceClassifier,
  type SequenceClassifierConfig,
} from "./index.ts";

const [batch, length, classes] = [2, 9, 3];

const mixers: Readonly<Record<string, ClassifierMixerConfig>> = {
  S4: { kind: "s4", dState: 4, structure: "low-rank", kernelLength: 12 },
  S4D: { kind: "s4", dState: 4, structure: "diagonal", start: { channels: 2 } },
  LSSL: { kind: "lssl", dState: 4 },
  Mamba: { kind: "mamba", dState: 4 },
  attention: { kind: "attention", heads: 2 },
};

async function create(config: Partial<SequenceClassifierConfig> & Pick<SequenceClassifierConfig, "mixer">) {
  const input = config.vocabSize ? {} : { inputSize: 2 };
  const device = await sharedDevice("reference");
  const all = { ...input, classes, dModel: 8, nLayer: 2, ...config };
  return SequenceClassifier.create(all, { device, dtype: "float64", seed: 4 });
}

describe("ClassifierRecurrence", () => {
  for (const [name, mixer] of Object.entries(mixers)) {
    it(`${name}: gives the logits of the whole sequence after every sample`, async () => {
      const model = await create({ mixer, prenorm: name !== "S4", finalNorm: name !== "S4", norm: "rms" });
      const random = new Random(8);
      const values = Float64Array.from({ length: batch * length * 2 }, () => random.normal());
      const { device } = model.parameters.decoder.weight;
      const upTo = (to: number) =>
        tensor(
          Float64Array.from({ length: batch * to * 2 }, (_, i) => {
            const row = Math.floor(i / (2 * to));
            return values[row * 2 * length + (i % (2 * to))]!;
          }),
          [batch, to, 2],
          { device, dtype: "float64" },
        );
      const steps = await ClassifierRecurrence.of(model);
      let state = steps.initialState(batch);
      for (let t = 0; t < length; t++) {
        const sample = Float64Array.from(
          { length: 2 * batch },
          (_, i) => values[(i >> 1) * 2 * length + 2 * t + (i % 2)]!,
        );
        const next = steps.step(tensor(sample, [batch, 2], { device, dtype: "float64" }), state);
        state.dispose();
        state = next;
        const whole = (await model.forward(upTo(t + 1)).read()) as Float64Array;
        expect(maxError((await steps.logits(state).read()) as Float64Array, whole), `sample ${t}`).toBeLessThan(1e-9);
      }
      expect(state.position).toBe(length);
    });
  }

  it("takes ids, classifies the last sample, and forks from a copied state", async () => {
    const model = await create({ mixer: mixers["Mamba"]!, vocabSize: 5, pooling: "last", norm: "batch" });
    const { device } = model.parameters.decoder.weight;
    const ids = (values: number[], shape: number[]) => tensor(Int32Array.from(values), shape, { device });
    const steps = await ClassifierRecurrence.of(model);
    const first = steps.step(ids([3, 1], [2]), steps.initialState(2));
    const copy = first.clone();
    first.dispose();
    const logits = (await steps.logits(steps.step(ids([0, 4], [2]), copy)).read()) as Float64Array;
    expect(maxError(logits, (await model.forward(ids([3, 0, 1, 4], [2, 2])).read()) as Float64Array)).toBeLessThan(
      1e-9,
    );
  });

  it("refuses a model that looks ahead, a rate that the mixer does not take, and logits of nothing", async () => {
    const both = await create({ mixer: { kind: "s4", dState: 4, structure: "diagonal", bidirectional: true } });
    await expect(ClassifierRecurrence.of(both)).rejects.toThrow("must be causal");
    const mamba = await create({ mixer: mixers["Mamba"]! });
    await expect(ClassifierRecurrence.of(mamba, 2)).rejects.toThrow("rate must be left out");
    const steps = await ClassifierRecurrence.of(mamba);
    expect(() => steps.logits(steps.initialState(1))).toThrow("at least one sample");
  });
});
