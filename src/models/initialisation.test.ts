import { describe, expect, it } from "vitest";
import { sharedDevice } from "../../test/kit/test-op.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { MambaLM, mambaConfig } from "./index.ts";

const [dModel, dInner, dState, dConv, dtRank, nLayer, vocabSize] = [64, 128, 16, 4, 16, 4, 100];
const config = mambaConfig({ vocabSize, dModel, nLayer, dtRank, tieEmbeddings: false, bias: true });

async function draw(changes: object = {}, device: "reference" | "wasm" = "reference", seed = 11) {
  const own = { ...config, initialisation: { ...config.initialisation, ...changes } };
  const model = MambaLM.create(own, { device: await sharedDevice(device), seed, dtype: "float32" });
  const values = new Map<string, number[]>();
  for (const [name, tensor] of flattenParameters(model.parameters)) values.set(name, Array.from(await tensor.read()));
  model.dispose();
  return (name: string): number[] => values.get(name) ?? values.get(`backbone.layers.1.mixer.${name}`)!;
}

const mean = (x: readonly number[]): number => x.reduce((sum, value) => sum + value, 0) / x.length;
const deviation = (x: readonly number[]): number => Math.sqrt(mean(x.map((value) => value ** 2)) - mean(x) ** 2);

/** A sample of `count` uniform numbers in +-bound: within it, close to it, and with its mean and deviation. */
function expectUniform(x: readonly number[], bound: number): void {
  const largest = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(largest).toBeLessThanOrEqual(Math.fround(bound));
  expect(largest).toBeGreaterThan(bound * (1 - 10 / x.length));
  // four standard errors of the mean and of the deviation of a uniform distribution
  expect(Math.abs(mean(x))).toBeLessThan((4 * bound) / Math.sqrt(3 * x.length));
  expect(Math.abs(deviation(x) / (bound / Math.sqrt(3)) - 1)).toBeLessThan(4 * Math.sqrt(0.2 / x.length));
}

// notes on state-spaces/mamba: `mamba_simple.py` and `_init_weights` of `mixer_seq_simple.py`
describe("initialisation as the official code has it", async () => {
  const value = await draw();

  it("draws linear layers and the convolution uniformly in 1 / sqrt(inputs)", () => {
    expectUniform(value("inProj.weight"), 1 / Math.sqrt(dModel));
    expectUniform(value("xProj.weight"), 1 / Math.sqrt(dInner));
    expectUniform(value("conv.weight"), 1 / Math.sqrt(dConv));
    expectUniform(value("conv.bias"), 1 / Math.sqrt(dConv));
    expectUniform(value("lmHead.weight"), 1 / Math.sqrt(dModel));
  });

  it("divides the output projection by the square root of the number of layers, unless told not to", async () => {
    expectUniform(value("outProj.weight"), 1 / Math.sqrt(dInner * nLayer));
    expectUniform((await draw({ rescaleOutProjection: false }))("outProj.weight"), 1 / Math.sqrt(dInner));
  });

  it("starts the projections' biases at 0, the norms and D at 1", () => {
    expect(new Set([...value("inProj.bias"), ...value("outProj.bias")])).toEqual(new Set([0]));
    const ones = ["D", "backbone.layers.1.norm.weight", "backbone.normF.weight"];
    expect(new Set(ones.flatMap(value))).toEqual(new Set([1]));
  });

  it("draws the embedding normally", async () => {
    for (const [embeddingStd, read] of [
      [0.02, value],
      [1, await draw({ embeddingStd: 1 })],
    ] as const) {
      const x = read("backbone.embedding.weight");
      expect(x.length).toBe(vocabSize * dModel);
      expect(Math.abs(mean(x))).toBeLessThan((4 * embeddingStd) / Math.sqrt(x.length));
      expect(Math.abs(deviation(x) / embeddingStd - 1)).toBeLessThan(4 / Math.sqrt(2 * x.length));
      // a uniform distribution of this deviation ends at 1.7
      expect(x.reduce((most, each) => Math.max(most, Math.abs(each)), 0)).toBeGreaterThan(3 * embeddingStd);
    }
  });

  it("sets A to -1 ... -N in every channel", () => {
    const expected = Array.from({ length: dInner * dState }, (_, i) => Math.fround(Math.log((i % dState) + 1)));
    expect(value("A_log")).toEqual(expected);
  });

  it("draws step sizes log-uniformly in [0.001 0.1]", async () => {
    const logs = value("dtProj.bias").map((bias) => Math.log(Math.log1p(Math.exp(bias))));
    const [low, high] = [Math.log(0.001), Math.log(0.1)];
    expectUniform(
      logs.map((each) => each - (low + high) / 2),
      (high - low) / 2 + 1e-5,
    );
    const floored = (await draw({ dtFloor: 0.05 }))("dtProj.bias").map((bias) => Math.log1p(Math.exp(bias)));
    expect(floored.reduce((least, each) => Math.min(least, each))).toBeCloseTo(0.05, 6);
  });

  it("draws the step sizes' projection in +- scale / sqrt(rank), or sets it to that", async () => {
    expectUniform(value("dtProj.weight"), 1 / Math.sqrt(dtRank));
    expectUniform((await draw({ dtScale: 0.5 }))("dtProj.weight"), 0.5 / Math.sqrt(dtRank));
    expect(new Set((await draw({ dtScheme: "constant" }))("dtProj.weight"))).toEqual(new Set([1 / Math.sqrt(dtRank)]));
  });

  it("gives the same numbers for a seed on every device, and others for another seed", async () => {
    const [wasm, other] = [await draw({}, "wasm"), await draw({}, "reference", 12)];
    for (const name of ["backbone.embedding.weight", "inProj.weight", "dtProj.bias", "lmHead.weight"]) {
      expect(wasm(name)).toEqual(value(name));
      expect(other(name)).not.toEqual(value(name));
    }
  });
});
