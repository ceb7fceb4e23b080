import {
  type FileSet,
  fileTypes,
  findWeights,
  type GgufField,
  type GgufFields,
  type GgufPrecision,
  ggufDataBytes,
  type MatchedMamba,
  mambaGgufFields,
  mambaGgufTensors,
  markVocabulary,
  matchMamba,
  openCheckpoint,
  readGguf,
  readJson,
  readMambaConfig,
  writeGguf,
} from "../checkpoints/index.ts";
import type { MambaConfig } from "../models/index.ts";
import { ConfigError, throwIfAborted } from "../tensor/errors.ts";
import { ggufTokenizerFields } from "../text/index.ts";
import { samplingFields } from "./gguf-files.ts";
import { saveMamba } from "./save-mamba.ts";

/** Element types of converted weights. */
export type ConvertedType = GgufPrecision;

/** Options of {@link convertMamba}. */
export interface ConvertOptions {
  /** Default: as the weights are stored; float16 for block formats that are only read. */
  readonly dtype?: ConvertedType;
  /** What a GGUF file calls the model, for people. */
  readonly name?: string;
  readonly progress?: (event: ConvertProgress) => void;
  readonly signal?: AbortSignal;
}

/** What converting reports while it goes on. */
export interface ConvertProgress {
  readonly phase: "convert";
  /** Tensor at work. */
  readonly name: string;
  readonly loadedBytes: number;
  readonly totalBytes: number;
}

/** What was written. */
export interface Converted {
  readonly format: "gguf" | "safetensors";
  readonly dtype: ConvertedType;
  /** Number of tensors of each type. */
  readonly types: Readonly<Record<string, number>>;
  /** Bytes of the weights. */
  readonly byteLength: number;
  readonly warnings: readonly string[];
}

/**
 * Converts a Mamba-1 language model with its tokenizer: to a GGUF file for llama.cpp and for ourselves, or to a folder in Hugging
 * Face's dialect. Weights go through memory a part at a time.
 *
 * @param files - the model, as `findModelFiles` gives it
 * @param target - a path that ends with `.gguf`, or a folder that exists
 * @throws ConfigError if the target has no place for the model or the type
 * @throws CheckpointError, DtypeError, TokenizerError, MambaError with code `FILE`, AbortError
 */
export async function convertMamba(files: FileSet, target: string, options: ConvertOptions = {}): Promise<Converted> {
  const given = readMambaConfig(await readJson(files, "config.json"));
  const file = await openCheckpoint(files);
  try {
    const matched = matchMamba(file, given);
    const dtype = options.dtype ?? storedPrecision(matched);
    if (target.endsWith(".gguf")) return await toGguf(files, matched, target, dtype, options);
    return await toFolder(files, matched, target, dtype, options);
  } finally {
    await file.close();
  }
}

/** Goes by the first projection, the kind of tensor that most of a model is made of. */
function storedPrecision({ entries }: MatchedMamba): ConvertedType {
  const stored = entries.get("backbone.layers.0.mixer.inProj.weight")!.storedType;
  const known: Partial<Record<string, ConvertedType>> = {
    F16: "float16",
    BF16: "bfloat16",
    Q8_0: "int8",
    Q4_0: "int4",
  };
  return known[stored] ?? (stored === "F32" || stored === "F64" ? "float32" : "float16");
}

async function toGguf(
  files: FileSet,
  { config, entries, warnings: odd }: MatchedMamba,
  target: string,
  dtype: ConvertedType,
  options: ConvertOptions,
): Promise<Converted> {
  const { fields, warnings } = await describeModel(files, config, dtype, options.name ?? "mamba");
  const tensors = mambaGgufTensors(config, entries, dtype);
  const totalBytes = ggufDataBytes(tensors);
  let loadedBytes = 0;
  const reported = tensors.map((tensor) => {
    const begin = (): void => {
      throwIfAborted(options.signal, "convert");
      options.progress?.({ phase: "convert", name: tensor.name, loadedBytes, totalBytes });
    };
    const { read, readBlocks } = tensor;
    const size = ggufDataBytes([tensor]);
    const count = tensor.shape.reduce((product, axis) => product * axis, 1);
    const readRun: typeof read = (start, end) => {
      begin();
      loadedBytes += (size * (end - start)) / count;
      return read(start, end);
    };
    if (!readBlocks) return { ...tensor, read: readRun };
    const readAll = (): Promise<Uint8Array> => {
      begin();
      loadedBytes += size;
      return readBlocks();
    };
    return { ...tensor, read: readRun, readBlocks: readAll };
  });
  await writeGguf(target, reported, fields);
  const types = countTypes(tensors.map(({ type }) => type));
  return { format: "gguf", dtype, types, byteLength: totalBytes, warnings: [...odd, ...warnings] };
}

/** Metadata of the model. A GGUF file's own description and tokenizer are taken over as they are. */
async function describeModel(
  files: FileSet,
  config: MambaConfig,
  dtype: ConvertedType,
  name: string,
): Promise<{ fields: GgufFields; warnings: readonly string[] }> {
  const fields = mambaGgufFields(config, fileTypes[dtype], name);
  const weights = await findWeights(files);
  if (weights.endsWith(".gguf")) {
    const source = await readGguf(await files.open(weights));
    await source.close();
    for (const [key, field] of source.fields) if (isTakenOver(key)) fields.set(key, field);
    markVocabulary(fields, config);
    return { fields, warnings: [] };
  }
  const warnings = await describeTokenizer(files, config, fields);
  markVocabulary(fields, config);
  const sampling = await optionalJson(files, "generation_config.json");
  for (const [key, field] of samplingFields(sampling)) fields.set(key, field);
  return { fields, warnings };
}

function isTakenOver(key: string): boolean {
  if (["general.file_type", "general.quantization_version", "general.alignment"].includes(key)) return false;
  return key.startsWith("general.") || key.startsWith("tokenizer.") || key === "mamba.vocab_size";
}

async function describeTokenizer(
  files: FileSet,
  config: MambaConfig,
  fields: Map<string, GgufField>,
): Promise<readonly string[]> {
  const { bosTokenId, eosTokenIds, padTokenId, paddedVocabSize } = config;
  const ids = { bos: bosTokenId, eos: eosTokenIds[0], padding: padTokenId };
  for (const [name, value] of Object.entries(ids)) {
    if (value !== undefined) fields.set(`tokenizer.ggml.${name}_token_id`, { type: "uint32", value });
  }
  const tokenizer = await optionalJson(files, "tokenizer.json");
  if (tokenizer === undefined) {
    fields.set("tokenizer.ggml.model", { type: "string", value: "none" });
    fields.set("mamba.vocab_size", { type: "uint32", value: paddedVocabSize });
    return ["there is no tokenizer.json; the file will take ids only"];
  }
  const settings = (await optionalJson(files, "tokenizer_config.json")) ?? {};
  type Json = Readonly<Record<string, unknown>>;
  const described = ggufTokenizerFields({ tokenizer: tokenizer as Json, config: settings as Json }, paddedVocabSize);
  // what the configuration says about special ids counts more than the names of tokens
  for (const [key, field] of described.fields) if (!fields.has(key)) fields.set(key, field);
  return described.warnings;
}

async function toFolder(
  files: FileSet,
  { config, entries, warnings }: MatchedMamba,
  folder: string,
  dtype: ConvertedType,
  options: ConvertOptions,
): Promise<Converted> {
  if (dtype === "int8" || dtype === "int4") {
    throw new ConfigError(
      `convert: weights as safetensors must be float32, float16 or bfloat16; got ${dtype}; choose one, or write a .gguf file`,
      { dtype },
    );
  }
  const width = dtype === "float32" ? 4 : 2;
  const sizes = new Map([...entries].map(([name, { shape }]) => [name, width * shape.reduce((a, b) => a * b, 1)]));
  const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let loadedBytes = 0;
  const onParameter = (name: string): void => {
    throwIfAborted(options.signal, "convert");
    options.progress?.({ phase: "convert", name, loadedBytes, totalBytes });
    loadedBytes += sizes.get(name)!;
  };
  await saveMamba(folder, config, entries, { files: await companions(files), dtype, onParameter });
  const types = { [dtype === "float32" ? "F32" : dtype === "float16" ? "F16" : "BF16"]: entries.size };
  return { format: "safetensors", dtype, types, byteLength: totalBytes, warnings };
}

/** What goes with the weights, as bytes. */
async function companions(files: FileSet): Promise<Record<string, Uint8Array>> {
  const found: Record<string, Uint8Array> = {};
  for (const name of ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"]) {
    if (!(await files.has(name))) continue;
    const source = await files.open(name);
    found[name] = await source.read(0, source.byteLength);
    await source.close();
  }
  return found;
}

function countTypes(types: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const type of types) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

async function optionalJson(files: FileSet, name: string): Promise<unknown> {
  return (await files.has(name)) ? readJson(files, name) : undefined;
}
