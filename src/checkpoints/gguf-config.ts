import { type MambaConfig, mambaConfig } from "../models/config.ts";
import { ConfigError } from "../tensor/errors.ts";
import { ConfigFields } from "./config-fields.ts";
import type { GgufFile } from "./gguf.ts";
import type { GgufField, GgufFields } from "./gguf-fields.ts";

const ARCHITECTURE = "general.architecture";
/** What llama.cpp's converter writes for every Mamba-1 model, as its states have no end. */
const CONTEXT_LENGTH = 2 ** 20;
/** Type of a token that stands for no text, in `tokenizer.ggml.token_type`. */
const UNUSED = 5;

/**
 * The configuration of a Mamba-1 model in a GGUF file, from its metadata and the shapes of its tensors.
 *
 * Ids at the end of the vocabulary whose tokens are marked as unused pad it. FalconMamba is told by `mamba.ssm.dt_b_c_rms`.
 * Keys that begin with `mamba_ts.` are of our own, see {@link mambaGgufFields}.
 *
 * @throws ConfigError if the file is of another architecture, or naming the key whose value cannot be
 */
export function readGgufConfig({ name, fields, tensors }: Pick<GgufFile, "name" | "fields" | "tensors">): MambaConfig {
  const values = new ConfigFields(plainValues(fields), "", `${name}: metadata`);
  values.must(ARCHITECTURE, "mamba");
  const rows = tensors.get("token_embd.weight")?.shape[0] ?? values.size("mamba.vocab_size");
  const bosTokenId = values.id("tokenizer.ggml.bos_token_id");
  const padTokenId = values.id("tokenizer.ggml.padding_token_id");
  const eosTokenId = values.id("tokenizer.ggml.eos_token_id");
  return mambaConfig({
    architecture: values.flag("mamba.ssm.dt_b_c_rms", false) ? "falcon-mamba" : "mamba",
    vocabSize: values.size("mamba_ts.vocab_size", usedTokens(fields, rows)),
    paddedVocabSize: rows,
    dModel: values.size("mamba.embedding_length"),
    nLayer: values.size("mamba.block_count"),
    dInner: values.size("mamba.ssm.inner_size"),
    dState: values.size("mamba.ssm.state_size"),
    dConv: values.size("mamba.ssm.conv_kernel"),
    dtRank: values.size("mamba.ssm.time_step_rank"),
    convBias: tensors.has("blk.0.ssm_conv1d.bias"),
    normEpsilon: values.positive("mamba.attention.layer_norm_rms_epsilon"),
    mixerNormEpsilon: values.positive("mamba_ts.mixer_norm_epsilon", 1e-6),
    tieEmbeddings: !tensors.has("output.weight"),
    eosTokenIds: values.has("mamba_ts.eos_token_ids") ? values.ids("mamba_ts.eos_token_ids") : optional(eosTokenId),
    ...(bosTokenId === undefined ? {} : { bosTokenId }),
    ...(padTokenId === undefined ? {} : { padTokenId }),
  });
}

function optional(id: number | undefined): number[] {
  return id === undefined ? [] : [id];
}

/** Scalars and id lists as plain values, float32 numbers as the decimal number that was meant. */
function plainValues(fields: GgufFields): Record<string, unknown> {
  const plain = [...fields].map(([key, { type, value }]): [string, unknown] => {
    if (type === "float32") return [key, shortest(value as number)];
    return [key, ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value];
  });
  return Object.fromEntries(plain.filter(([, value]) => !Array.isArray(value) || value.length <= 64));
}

/** The shortest decimal number whose float32 is `value`: 9.999999747378752e-6 was meant as 1e-5. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** Number of ids without those at the end that pad the vocabulary. */
function usedTokens(fields: GgufFields, rows: number): number {
  const types = fields.get("tokenizer.ggml.token_type")?.value;
  if (!(types instanceof Int32Array) || types.length !== rows) return rows;
  let used = rows;
  while (used > 1 && types[used - 1] === UNUSED) used--;
  return used;
}

/**
 * The metadata that llama.cpp needs of a Mamba-1 model, without its tokenizer; {@link readGgufConfig} gives the configuration
 * back. Three keys of our own keep what it has no place for, each only where it is needed: `mamba_ts.vocab_size`, if the
 * padding is not told by unused tokens; `mamba_ts.mixer_norm_epsilon` of FalconMamba, for which llama.cpp takes the other
 * epsilon; and `mamba_ts.eos_token_ids`, if there are several.
 *
 * @param fileType - llama.cpp's number of the mixture of types: 0 F32, 1 F16, 2 Q4_0, 7 Q8_0, 32 BF16
 * @param name - of the model, for people
 * @throws ConfigError if llama.cpp's Mamba-1 has no place for what the configuration says
 */
export function mambaGgufFields(config: MambaConfig, fileType: number, name: string): Map<string, GgufField> {
  checkExpressible(config);
  const falcon = config.architecture === "falcon-mamba";
  const uint32 = (value: number): GgufField => ({ type: "uint32", value });
  const float32 = (value: number): GgufField => ({ type: "float32", value });
  const fields = new Map<string, GgufField>([
    [ARCHITECTURE, { type: "string", value: "mamba" }],
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: name }],
    ["mamba.context_length", uint32(CONTEXT_LENGTH)],
    ["mamba.embedding_length", uint32(config.dModel)],
    ["mamba.feed_forward_length", uint32(0)],
    ["mamba.attention.head_count", uint32(0)],
    ["mamba.block_count", uint32(config.nLayer)],
    ["mamba.ssm.conv_kernel", uint32(config.dConv)],
    ["mamba.ssm.inner_size", uint32(config.dInner)],
    ["mamba.ssm.state_size", uint32(config.dState)],
    ["mamba.ssm.time_step_rank", uint32(config.dtRank)],
    ["mamba.attention.layer_norm_rms_epsilon", float32(config.normEpsilon)],
    ["mamba.ssm.dt_b_c_rms", { type: "bool", value: falcon }],
    ["general.file_type", uint32(fileType)],
    ["general.quantization_version", uint32(2)],
  ]);
  if (falcon) fields.set("mamba_ts.mixer_norm_epsilon", float32(config.mixerNormEpsilon));
  const { eosTokenIds } = config;
  if (eosTokenIds.length > 1) {
    fields.set("mamba_ts.eos_token_ids", { type: "array", of: "uint32", value: Uint32Array.from(eosTokenIds) });
  }
  return fields;
}

function checkExpressible(config: MambaConfig): void {
  const { bias, norm, selective, dInner, dModel } = config;
  const problems = [
    bias && "biases on the projections",
    norm !== "rms" && "layer norms",
    !selective && "parameters that do not depend on the input",
    dInner !== 2 * dModel && `an inner size of ${dInner}, which is not twice the width ${dModel}`,
  ].filter((problem) => problem !== false);
  if (!problems.length) return;
  throw new ConfigError(
    `GGUF: a model must be one that llama.cpp knows; this has ${problems.join(", ")}; write it as safetensors`,
    { problems },
  );
}

/** Tells the size of the vocabulary where unused tokens at its end do not. */
export function markVocabulary(fields: Map<string, GgufField>, { vocabSize, paddedVocabSize }: MambaConfig): void {
  if (usedTokens(fields, paddedVocabSize) === vocabSize) return;
  fields.set("mamba_ts.vocab_size", { type: "uint32", value: vocabSize });
}
