import { type MambaConfig, mambaConfig } from "../models/config.ts";
import type { ConfigFields } from "./config-fields.ts";

const architectures = { mamba: "mamba", falcon_mamba: "falcon-mamba" } as const;

/**
 * Reads the configuration of `MambaForCausalLM` or `FalconMambaForCausalLM`.
 *
 * `vocab_size` counts the rows of the embedding. Three keys beyond transformers' own are understood, all written by
 * {@link huggingFaceConfig}: `unpadded_vocab_size`, the ids that mean something, `rms_norm: false`, and `selective: false`.
 */
export function readHuggingFaceConfig(fields: ConfigFields): MambaConfig {
  const architecture = architectures[fields.choice("model_type", ["mamba", "falcon_mamba"])];
  fields.choice("hidden_act", ["silu"]);
  const dModel = fields.size("hidden_size", 768);
  const nLayer = fields.size("num_hidden_layers", 32);
  fields.mustBe("d_model", dModel, "which is hidden_size");
  fields.mustBe("n_layer", nLayer, "which is num_hidden_layers");
  const rows = fields.size("vocab_size", 50280);
  const vocabSize = fields.size("unpadded_vocab_size", rows);
  if (vocabSize > rows) throw fields.wrong("unpadded_vocab_size", `must be at most vocab_size ${rows}`, vocabSize);
  const padTokenId = fields.id("pad_token_id");
  const bosTokenId = fields.id("bos_token_id");
  return mambaConfig({
    architecture,
    vocabSize,
    paddedVocabSize: rows,
    dModel,
    nLayer,
    dInner: readInnerSize(fields, dModel),
    dState: fields.size("state_size", 16),
    dConv: fields.size("conv_kernel", 4),
    dtRank: fields.get("time_step_rank") === "auto" ? Math.ceil(dModel / 16) : readRank(fields, dModel),
    bias: fields.flag("use_bias", false),
    convBias: fields.flag("use_conv_bias", true),
    norm: fields.flag("rms_norm", true) ? "rms" : "layer",
    normEpsilon: fields.positive("layer_norm_epsilon", 1e-5),
    selective: fields.flag("selective", true),
    mixerNormEpsilon: fields.positive("mixer_rms_eps", 1e-6),
    tieEmbeddings: fields.flag("tie_word_embeddings", true),
    residualInFloat32: fields.flag("residual_in_fp32", true),
    initialisation: {
      dtMin: fields.positive("time_step_min", 0.001),
      dtMax: fields.positive("time_step_max", 0.1),
      dtFloor: fields.positive("time_step_floor", 1e-4),
      dtScheme: fields.choice("time_step_init_scheme", ["random", "constant"]),
      dtScale: fields.positive("time_step_scale", 1),
      embeddingStd: fields.positive("initializer_range", 0.1),
      rescaleOutProjection: fields.flag("rescale_prenorm_residual", false),
    },
    eosTokenIds: fields.ids("eos_token_id"),
    ...(bosTokenId === undefined ? {} : { bosTokenId }),
    ...(padTokenId === undefined ? {} : { padTokenId }),
  });
}

/** `intermediate_size` counts where it is given: FalconMamba's published files have another `expand` beside it. */
function readInnerSize(fields: ConfigFields, dModel: number): number {
  const expanded = Math.floor(fields.positive("expand", 2) * dModel);
  const inner = fields.size("intermediate_size", Math.max(1, expanded));
  fields.mustBe("d_inner", inner, "which is intermediate_size");
  return inner;
}

function readRank(fields: ConfigFields, dModel: number): number {
  return fields.size("time_step_rank", Math.ceil(dModel / 16));
}

/** A configuration as transformers reads it; see {@link readHuggingFaceConfig} for the two keys it does not know. */
export function huggingFaceConfig(config: MambaConfig): Record<string, unknown> {
  const falcon = config.architecture === "falcon-mamba";
  const { initialisation: drawn, vocabSize, paddedVocabSize, dModel, dInner, eosTokenIds } = config;
  return {
    architectures: [falcon ? "FalconMambaForCausalLM" : "MambaForCausalLM"],
    model_type: falcon ? "falcon_mamba" : "mamba",
    vocab_size: paddedVocabSize,
    ...(vocabSize === paddedVocabSize ? {} : { unpadded_vocab_size: vocabSize }),
    ...(config.selective ? {} : { selective: false }),
    hidden_size: dModel,
    num_hidden_layers: config.nLayer,
    intermediate_size: dInner,
    expand: dInner / dModel,
    state_size: config.dState,
    conv_kernel: config.dConv,
    time_step_rank: config.dtRank,
    use_bias: config.bias,
    use_conv_bias: config.convBias,
    hidden_act: "silu",
    ...(config.norm === "rms" ? {} : { rms_norm: false }),
    layer_norm_epsilon: config.normEpsilon,
    ...(falcon ? { mixer_rms_eps: config.mixerNormEpsilon } : {}),
    tie_word_embeddings: config.tieEmbeddings,
    residual_in_fp32: config.residualInFloat32,
    time_step_min: drawn.dtMin,
    time_step_max: drawn.dtMax,
    time_step_floor: drawn.dtFloor,
    time_step_init_scheme: drawn.dtScheme,
    time_step_scale: drawn.dtScale,
    initializer_range: drawn.embeddingStd,
    rescale_prenorm_residual: drawn.rescaleOutProjection,
    // null says "none"; a missing key would mean transformers' default, 0
    bos_token_id: config.bosTokenId ?? null,
    eos_token_id: eosTokenIds.length > 1 ? eosTokenIds : (eosTokenIds[0] ?? null),
    pad_token_id: config.padTokenId ?? null,
  };
}
