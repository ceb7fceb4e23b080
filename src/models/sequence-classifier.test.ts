import { describe, expect, it } from "vitest";
import { fastBackends, maxError, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { crossEntropy } from "../ops/cross-entropy/index.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type ClassifierMixerConfig, SequenceClassifier, type SequenceClassifierConfig } from "./index.ts";

const [batch, length, classes] = [3, 7, 4];
const lengths = Int32Array.of(7, 4, 1);

const mixers: Readonly<Record<string, ClassifierMixerConfig>> = {
  S4: { kind: "s4", dState: 4, structure: "low-rank", kernelLength: length },
  "S4D in both directions": {
    kind: "s4",
    dState: 4,
    structure: "diagonal",
    bidirectional: true,
    start: { init: "lin" },
  },
  LSSL: { kind: "lssl", dState: 4 },
  Mamba: { kind: "mamba", dState: 4 },
  attention: { kind: "attention", heads: 2 },
};

/** Their ops are held on every backend; what is here goes on WebGPU once. */
function backendsOf(name: string) {
  return fastBackends.filter((backend) => backend === "wasm" || name.startsWith("S4D"));
}

function configOf(mixer: ClassifierMixerConfig, more: object): SequenceClassifierConfig {
  return { inputSize: 2, classes, dModel: 8, nLayer: 2, mixer, ...more };
}

/** Rows on a device; what stands behind a row's end is `padding`. */
async function rows(name: "reference" | "wasm" | "webgpu", padding = 0): Promise<{ x: Tensor; lengths: Tensor }> {
  const device = await sharedDevice(name);
  const random = new Random(5);
  const values = Float64Array.from({ length: batch * length * 2 }, (_, i) => {
    const value = random.normal();
    return Math.floor(i / 2) % length < lengths[Math.floor(i / 2 / length)]! ? value : padding;
  });
  const dtype = name === "reference" ? "float64" : "float32";
  return {
    x: tensor(values, [batch, length, 2], { device, dtype }),
    lengths: tensor(lengths, [batch], { device }),
  };
}

async function create(config: SequenceClassifierConfig, name: "reference" | "wasm" | "webgpu" = "reference") {
  const dtype = name === "reference" ? "float64" : "float32";
  return SequenceClassifier.create(config, { device: await sharedDevice(name), dtype, seed: 2 });
}

describe("SequenceClassifier", () => {
  for (const [name, mixer] of Object.entries(mixers)) {
    for (const pooling of ["mean", "last"] as const) {
      it(`${name}, ${pooling}: a padded row has the logits it has alone`, async () => {
        const model = await create(configOf(mixer, { pooling, prenorm: pooling === "last" }));
        const all = await rows("reference", 3);
        const together = (await model.forward(all.x, { lengths: all.lengths }).read()) as Float64Array;
        const values = (await all.x.read()) as Float64Array;
        for (const [row, own] of lengths.entries()) {
          const from = row * length * 2;
          const alone = tensor(values.slice(from, from + 2 * own), [1, own, 2], {
            device: model.parameters.encoder.weight.device,
            dtype: "float64",
          });
          const logits = (await model.forward(alone).read()) as Float64Array;
          expect(maxError(together.slice(row * classes, (row + 1) * classes), logits)).toBeLessThan(1e-9);
        }
      });
    }

    for (const backend of backendsOf(name)) {
      it(`${name} on ${backend}: loss and gradients are those of float64`, async () => {
        const made = new Map<string, Map<string, TypedArray>>();
        for (const device of ["reference", backend] as const) {
          const model = await create(configOf(mixer, { norm: "rms", prenorm: true }), device);
          const { x, lengths: counts } = await rows(device);
          const targets = tensor(Int32Array.of(0, 3, 1), [batch], { device: await sharedDevice(device) });
          const { value, gradients } = valueAndGrad(
            (parameters) =>
              crossEntropy(new SequenceClassifier(model.config, parameters).forward(x, { lengths: counts }), targets)
                .loss,
            model.parameters,
          );
          const read = new Map<string, TypedArray>([["loss", await value.read()]]);
          for (const [key, gradient] of flattenParameters(gradients)) read.set(key, await gradient.read());
          made.set(device, read);
        }
        for (const [key, expected] of made.get("reference")!) {
          expect(maxError(made.get(backend)!.get(key)!, expected), key).toBeLessThan(2e-4);
        }
      });
    }
  }

  it("has the norms that it is asked for, over padding too", async () => {
    const padded = await rows("reference", 100);
    for (const norm of ["layer", "batch"] as const) {
      const model = await create(configOf(mixers["LSSL"]!, { norm, prenorm: true, finalNorm: true }));
      const options = { lengths: padded.lengths, random: { seed: 1 } };
      const logits = (await model.forward(padded.x, options).read()) as Float64Array;
      const zeros = await rows("reference", 0);
      expect(maxError((await model.forward(zeros.x, options).read()) as Float64Array, logits)).toBeLessThan(1e-9);
      const names = [...flattenParameters(model.parameters).keys()];
      expect(names.filter((name) => name.includes("norm.weight"))).toHaveLength(3);
      expect(names.includes("layers.1.norm.runningMean")).toBe(norm === "batch");
    }
  });

  it("takes what lies between samples: a step everywhere is as nothing said, and attention refuses it", async () => {
    const { x } = await rows("reference");
    const { device, dtype } = x;
    const deltas = (step: number): Tensor =>
      tensor(new Float64Array(batch * length).fill(step), [batch, length], { device, dtype });
    const S4D: ClassifierMixerConfig = { kind: "s4", dState: 4, structure: "diagonal" };
    for (const mixer of [S4D, mixers["LSSL"]!, mixers["Mamba"]!]) {
      const model = await create(configOf(mixer, {}));
      const plain = await model.forward(x).read();
      expect(maxError(await model.forward(x, { deltas: deltas(1) }).read(), plain), mixer.kind).toBeLessThan(1e-9);
      expect(maxError(await model.forward(x, { deltas: deltas(3) }).read(), plain), mixer.kind).toBeGreaterThan(1e-6);
    }
    const other = await create(configOf(mixers["attention"]!, {}));
    expect(() => other.forward(x, { deltas: deltas(1) })).toThrow(
      "deltas must be left out with a mixer of kind attention",
    );
  });

  it("classifies ids", async () => {
    const { inputSize: _, ...config } = configOf(mixers["Mamba"]!, { vocabSize: 5 });
    const model = await create(config);
    const ids = tensor(
      Int32Array.from({ length: 14 }, (_, i) => i % 5),
      [2, 7],
      { device: await sharedDevice("reference") },
    );
    expect(model.forward(ids).shape).toEqual([2, classes]);
  });

  it("refuses an input that is both or neither, and options that the mixer does not take", async () => {
    await expect(create(configOf(mixers["Mamba"]!, { vocabSize: 5 }))).rejects.toThrow(
      "one of inputSize and vocabSize",
    );
    await expect(create(configOf({ kind: "attention", heads: 3 }, {}))).rejects.toThrow("heads must share dModel 8");
    const model = await create(configOf(mixers["attention"]!, {}));
    const { x } = await rows("reference");
    expect(() => model.forward(x, { rate: 2 })).toThrow("rate must be left out with a mixer of kind attention");
  });
});
