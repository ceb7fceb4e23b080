import { describe, expect, it } from "vitest";
import { openFolder } from "#platform";
import { type MambaConfig, mambaConfig } from "../models/config.ts";
import { initialiseMambaLM } from "../models/mamba-parameters.ts";
import { mambaParameterCount } from "../models/presets.ts";
import { openDevice } from "../ops/devices.ts";
import { CheckpointError, OutOfMemoryError } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { Random } from "../tensor/random.ts";
import { readMambaConfig } from "./config-file.ts";
import { matchMamba } from "./match-mamba.ts";
import { checkFits } from "./memory-need.ts";
import { mambaParameterShapes, toCheckpointName, toOwnName } from "./name-map.ts";
import { openCheckpoint } from "./open-checkpoint.ts";
import { encodeSafetensors, type TensorData } from "./safetensors-write.ts";
import { memoryFiles, readJson } from "./source.ts";

const fixtures = new URL("../../test/fixtures/", import.meta.url).pathname;
const small = mambaConfig({ vocabSize: 5, dModel: 16, nLayer: 2, dState: 3, dConv: 2 });
const variants: MambaConfig[] = [
  small,
  { ...small, tieEmbeddings: false, bias: true, convBias: false },
  { ...small, norm: "layer", paddedVocabSize: 8, architecture: "falcon-mamba" },
];

/** Zeros for every parameter of a model, as a checkpoint of Hugging Face's dialect has them. */
function zeros(config: MambaConfig): TensorData[] {
  return [...mambaParameterShapes(config)].map(([own, shape]) => {
    const stored = own.endsWith("conv.weight") ? [shape[0]!, 1, shape[1]!] : shape;
    const data = new Float32Array(stored.reduce((product, size) => product * size, 1));
    return { name: toCheckpointName(own), dtype: "float32", shape: stored, data };
  });
}

function zero(name: string, shape: number[], value = 0): TensorData {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(value);
  return { name, dtype: "float32", shape, data };
}

const matched = async (tensors: TensorData[], config: MambaConfig) =>
  matchMamba(await openCheckpoint(memoryFiles({ "model.safetensors": encodeSafetensors(tensors) })), config);

async function problemsOf(tensors: TensorData[], config: MambaConfig): Promise<CheckpointError> {
  const error = await matched(tensors, config).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

describe("mambaParameterShapes", () => {
  it.each(variants)("lists what a new model has, in its order: variant %#", async (config) => {
    const device = await openDevice("reference");
    const own = flattenParameters(initialiseMambaLM(config, { device, random: new Random(1) }));
    expect([...mambaParameterShapes(config)]).toEqual([...own].map(([name, { shape }]) => [name, [...shape]]));
    const count = [...own.values()].reduce((sum, { size }) => sum + size, 0);
    expect(mambaParameterCount(config)).toBe(count);
    device.dispose();
  });

  it.each(variants)("has names that go to checkpoints and back: variant %#", (config) => {
    for (const own of mambaParameterShapes(config).keys()) expect(toOwnName(toCheckpointName(own))).toBe(own);
  });
});

describe("toOwnName", () => {
  it("knows both dialects and nothing else", () => {
    expect(toOwnName("backbone.embeddings.weight")).toBe("backbone.embedding.weight");
    expect(toOwnName("backbone.embedding.weight")).toBe("backbone.embedding.weight");
    expect(toOwnName("backbone.layers.12.mixer.conv1d.bias")).toBe("backbone.layers.12.mixer.conv.bias");
    expect(toOwnName("backbone.layers.0.mixer.A_log")).toBe("backbone.layers.0.mixer.A_log");
    for (const name of ["", "lmHead.weight", "backbone.layers.01.norm.weight", "backbone.layers.0.mlp.fc1.weight"]) {
      expect(toOwnName(name)).toBeUndefined();
    }
    expect(() => toCheckpointName("backbone.embeddings.weight")).toThrow(CheckpointError);
  });
});

describe("matchMamba", () => {
  it.each([
    ["hf-mamba-tied", true, [97, 64]],
    ["hf-mamba-untied-bias", false, [61, 48]],
    ["hf-falcon-mamba", false, [97, 64]],
    ["original-mamba-bin-f32", true, [104, 64]],
    ["original-mamba-bin-f16", true, [104, 64]],
  ] as const)("matches %s", async (name, tied, embedding) => {
    const files = await openFolder(fixtures + name);
    const given = readMambaConfig(await readJson(files, "config.json"));
    const file = await openCheckpoint(files);
    const { entries, config, warnings, ...rest } = matchMamba(file, given);
    expect([rest.tied, warnings, config]).toEqual([tied, [], given]);
    expect(entries.get("backbone.embedding.weight")!.shape).toEqual(embedding);
    expect(entries.get("backbone.layers.1.mixer.conv.weight")!.shape).toEqual([config.dInner, config.dConv]);
    expect(entries.has("lmHead.weight")).toBe(!tied);
    const bias = await entries.get("backbone.layers.0.mixer.dtProj.bias")!.read();
    expect(bias).toEqual(await file.entries.get("backbone.layers.0.mixer.dt_proj.bias")!.read());
    await file.close();
  });

  it("takes more rows than ids as padding, and says so where the configuration does not", async () => {
    const { config, warnings } = await matched(zeros({ ...small, paddedVocabSize: 8 }), small);
    expect([config.vocabSize, config.paddedVocabSize]).toEqual([5, 8]);
    expect(warnings).toHaveLength(1);
    // fewer rows than the configuration pads to, but enough
    expect((await matched(zeros(small), { ...small, paddedVocabSize: 8 })).config.paddedVocabSize).toBe(5);
  });

  it("keeps a stored head that differs from the embedding it should be tied to", async () => {
    const same = await matched([...zeros(small), zero("lm_head.weight", [5, 16])], small);
    expect([same.tied, same.warnings, same.entries.has("lmHead.weight")]).toEqual([true, [], false]);
    const other = await matched([...zeros(small), zero("lm_head.weight", [5, 16], 1)], small);
    expect([other.tied, other.config.tieEmbeddings, other.entries.has("lmHead.weight")]).toEqual([false, false, true]);
    expect(other.warnings).toEqual([expect.stringContaining("lm_head.weight differs")]);
  });

  it("names everything that does not fit at once", async () => {
    const tensors = zeros(small).filter(({ name }) => !/layers\.1\.mixer\.(D|A_log)|norm_f/.test(name));
    tensors[1] = zero(tensors[1]!.name, [17]);
    const integers = {
      name: "backbone.layers.0.mixer.D",
      dtype: "int32",
      shape: [32],
      data: new Int32Array(32),
    } as const;
    const changed = [...tensors.filter(({ name }) => name !== integers.name), integers];
    const { message, facts } = await problemsOf([...changed, zero("surplus", [2])], small);
    expect(facts).toEqual({
      missing: ["backbone.layers.1.mixer.A_log", "backbone.layers.1.mixer.D", "backbone.norm_f.weight"],
      unexpected: ["surplus"],
      wrong: [
        "backbone.layers.0.norm.weight is [17], not [16]",
        "backbone.layers.0.mixer.D is I32, not floating-point",
      ],
    });
    for (const name of ["A_log", "norm_f", "surplus", "[17]", "I32"]) expect(message).toContain(name);
  });

  it("refuses too few rows, a missing head, a second embedding, and a configuration with far more layers", async () => {
    const fewer = await problemsOf(zeros({ ...small, vocabSize: 4, paddedVocabSize: 4 }), small);
    expect(fewer.facts["wrong"]).toEqual(["backbone.embeddings.weight is [4 16], not [5 16]"]);
    const headless = await problemsOf(zeros(small), { ...small, tieEmbeddings: false });
    expect(headless.facts["missing"]).toEqual(["lm_head.weight"]);
    const twice = await problemsOf([...zeros(small), zero("backbone.embedding.weight", [5, 16])], small);
    expect(twice.facts["unexpected"]).toHaveLength(1);
    const deep = await problemsOf(zeros(small), { ...small, nLayer: 2 ** 31 - 1 });
    expect(deep.facts["nLayer"]).toBe(2 ** 31 - 1);
  });
});

describe("checkFits", () => {
  it("lets weights through that fit exactly and tells both numbers otherwise", () => {
    checkFits(1024, 1024, "model");
    expect(() => checkFits(3 * 2 ** 20, 2 ** 20, "model")).toThrow(OutOfMemoryError);
    expect(() => checkFits(3 * 2 ** 20, 2 ** 20, "model")).toThrow(/free, 1\.0 MiB; they need 3\.0 MiB/);
  });
});
