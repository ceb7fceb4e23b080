import { type MambaConfig, mambaConfig } from "../models/config.ts";
import type { ConfigFields } from "./config-fields.ts";

/**
 * Reads a configuration of state-spaces/mamba.
 *
 * Keys that are not there have that code's defaults; `vocab_size` counts ids that mean something and is padded to
 * `pad_vocab_size_multiple`.
 */
export function readOriginalConfig(fields: ConfigFields): MambaConfig {
  checkSupported(fields);
  const ssm = fields.inside("ssm_cfg");
  ssm.choice("layer", ["Mamba1"]);
  const dModel = fields.size("d_model", 2560);
  const vocabSize = fields.size("vocab_size", 50277);
  const multiple = fields.size("pad_vocab_size_multiple", 8);
  return mambaConfig({
    vocabSize,
    paddedVocabSize: Math.ceil(vocabSize / multiple) * multiple,
    dModel,
    nLayer: fields.size("n_layer", 64),
    dInner: Math.max(1, Math.floor(ssm.positive("expand", 2) * dModel)),
    dState: ssm.size("d_state", 16),
    dConv: ssm.size("d_conv", 4),
    dtRank: ssm.get("dt_rank") === "auto" ? Math.ceil(dModel / 16) : ssm.size("dt_rank", Math.ceil(dModel / 16)),
    bias: ssm.flag("bias", false),
    convBias: ssm.flag("conv_bias", true),
    norm: fields.flag("rms_norm", true) ? "rms" : "layer",
    tieEmbeddings: fields.flag("tie_embeddings", true),
    residualInFloat32: fields.flag("residual_in_fp32", true),
    initialisation: {
      dtMin: ssm.positive("dt_min", 0.001),
      dtMax: ssm.positive("dt_max", 0.1),
      dtFloor: ssm.positive("dt_init_floor", 1e-4),
      dtScheme: ssm.choice("dt_init", ["random", "constant"]),
      dtScale: ssm.positive("dt_scale", 1),
    },
  });
}

/** Blocks beside the Mamba mixer would change the arithmetic. */
function checkSupported(fields: ConfigFields): void {
  fields.mustBe("d_intermediate", 0, "as only models without feed-forward blocks are supported");
  const attention = fields.get("attn_layer_idx");
  if (attention === undefined || (Array.isArray(attention) && attention.length === 0)) return;
  throw fields.wrong("attn_layer_idx", "must be empty, as only models without attention are supported", attention);
}
