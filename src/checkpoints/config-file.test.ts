import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { mambaConfig } from "../models/config.ts";
import { mambaPreset } from "../models/presets.ts";
import { ConfigError } from "../tensor/errors.ts";
import { readMambaConfig, writeMambaConfig } from "./config-file.ts";

const fixture = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`../../test/fixtures/${name}/config.json`, import.meta.url), "utf8"));

const huggingFace = { model_type: "mamba", hidden_size: 64, num_hidden_layers: 2, vocab_size: 97 };
const original = { d_model: 64, n_layer: 2, vocab_size: 97 };

describe("readMambaConfig", () => {
  it("reads Hugging Face's dialect", async () => {
    expect(readMambaConfig(await fixture("hf-mamba-untied-bias"))).toMatchObject({
      architecture: "mamba",
      vocabSize: 61,
      paddedVocabSize: 61,
      dModel: 48,
      nLayer: 3,
      dInner: 144,
      dState: 8,
      dConv: 3,
      dtRank: 5,
      bias: true,
      convBias: false,
      norm: "rms",
      tieEmbeddings: false,
      bosTokenId: 0,
      eosTokenIds: [0],
      padTokenId: 0,
    });
  });

  it("reads FalconMamba", async () => {
    const config = readMambaConfig(await fixture("hf-falcon-mamba"));
    expect(config).toMatchObject({ architecture: "falcon-mamba", mixerNormEpsilon: 1e-6, tieEmbeddings: false });
  });

  it("reads the original dialect and pads the vocabulary", async () => {
    expect(readMambaConfig(await fixture("original-mamba-bin-f32"))).toEqual(
      mambaConfig({ vocabSize: 97, paddedVocabSize: 104, dModel: 64, nLayer: 2 }),
    );
    expect(readMambaConfig({ ...original, pad_vocab_size_multiple: 1 }).paddedVocabSize).toBe(97);
  });

  it("reads the mixer's options of the original dialect", () => {
    const ssm_cfg = { layer: "Mamba1", d_state: 8, d_conv: 3, expand: 3, dt_rank: 5, bias: true, conv_bias: false };
    expect(readMambaConfig({ ...original, ssm_cfg, rms_norm: false, tie_embeddings: false })).toMatchObject({
      dState: 8,
      dConv: 3,
      dInner: 192,
      dtRank: 5,
      bias: true,
      convBias: false,
      norm: "layer",
      tieEmbeddings: false,
    });
  });

  it("knows each dialect's defaults", () => {
    // transformers: time_step_rank "auto" is ceil(hidden_size / 16); state-spaces: the class's own defaults
    expect(readMambaConfig({ model_type: "mamba" })).toMatchObject({
      vocabSize: 50280,
      dModel: 768,
      nLayer: 32,
      dInner: 1536,
      dtRank: 48,
      initialisation: { embeddingStd: 0.1, rescaleOutProjection: false },
    });
    expect(readMambaConfig({ n_layer: 4 })).toMatchObject({ vocabSize: 50277, paddedVocabSize: 50280, dModel: 2560 });
    expect(readMambaConfig({ ...huggingFace, time_step_rank: "auto", hidden_size: 65 }).dtRank).toBe(5);
  });

  it("lets intermediate_size count beside another expand, as FalconMamba's files need", () => {
    const sizes = { hidden_size: 4096, expand: 16, intermediate_size: 8192 };
    expect(readMambaConfig({ ...huggingFace, ...sizes, model_type: "falcon_mamba" }).dInner).toBe(8192);
  });

  it("takes token ids as one number, a list, or null", () => {
    const ids = (eos_token_id: unknown) => readMambaConfig({ ...huggingFace, eos_token_id }).eosTokenIds;
    expect([ids(7), ids([7, 8]), ids(null), ids(undefined)]).toEqual([[7], [7, 8], [], []]);
  });

  it.each([
    [{ ...huggingFace, model_type: "mamba2" }, "model_type"],
    [{ ...huggingFace, hidden_act: "gelu" }, "hidden_act"],
    [{ ...huggingFace, hidden_size: 0 }, "hidden_size"],
    [{ ...huggingFace, hidden_size: "64" }, "hidden_size"],
    [{ ...huggingFace, num_hidden_layers: 1.5 }, "num_hidden_layers"],
    [{ ...huggingFace, vocab_size: 1e12 }, "vocab_size"],
    [{ ...huggingFace, d_model: 65 }, "d_model"],
    [{ ...huggingFace, n_layer: 3 }, "n_layer"],
    [{ ...huggingFace, d_inner: 3 }, "d_inner"],
    [{ ...huggingFace, time_step_rank: "many" }, "time_step_rank"],
    [{ ...huggingFace, tie_word_embeddings: 1 }, "tie_word_embeddings"],
    [{ ...huggingFace, layer_norm_epsilon: -1 }, "layer_norm_epsilon"],
    [{ ...huggingFace, layer_norm_epsilon: Number.POSITIVE_INFINITY }, "layer_norm_epsilon"],
    [{ ...huggingFace, eos_token_id: [-1] }, "eos_token_id"],
    [{ ...huggingFace, unpadded_vocab_size: 98 }, "unpadded_vocab_size"],
    [{ ...original, ssm_cfg: { layer: "Mamba2" } }, "ssm_cfg.layer"],
    [{ ...original, ssm_cfg: 3 }, "ssm_cfg"],
    [{ ...original, ssm_cfg: { d_state: -16 } }, "ssm_cfg.d_state"],
    [{ ...original, d_intermediate: 128 }, "d_intermediate"],
    [{ ...original, attn_layer_idx: [1] }, "attn_layer_idx"],
    [{ hidden_size: 64 }, "model_type"],
    [[], ""],
    ["mamba", ""],
  ])("refuses %j and names %s", (json, key) => {
    let thrown: unknown;
    try {
      readMambaConfig(json);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigError);
    expect((thrown as ConfigError).facts["key"]).toBe(key);
    expect((thrown as ConfigError).message).toContain(key);
  });
});

describe("writeMambaConfig", () => {
  it.each(["hf-mamba-tied", "hf-mamba-untied-bias", "hf-falcon-mamba"])(
    "writes the values that transformers wrote for %s",
    async (name) => {
      const file = (await fixture(name)) as Record<string, unknown>;
      const written = writeMambaConfig(readMambaConfig(file));
      for (const [key, value] of Object.entries(written)) expect(file[key], key).toEqual(value);
    },
  );

  it.each([
    ["a padded vocabulary", mambaPreset("mamba-130m")],
    ["layer norm and no tokens", mambaConfig({ vocabSize: 9, dModel: 24, nLayer: 1, dInner: 31, norm: "layer" })],
    ["several ends", mambaConfig({ vocabSize: 9, dModel: 24, nLayer: 1, eosTokenIds: [3, 4], padTokenId: 2 })],
  ])("writes what reads back: %s", (_, config) => {
    expect(readMambaConfig(JSON.parse(JSON.stringify(writeMambaConfig(config))))).toEqual(config);
  });
});
