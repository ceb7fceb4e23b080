import {
  bytesSource,
  type FileSet,
  findWeights,
  type GgufField,
  type GgufFile,
  readGguf,
  readGgufConfig,
  writeMambaConfig,
} from "../checkpoints/index.ts";
import { ggufTokenizer, hasGgufTokenizer } from "../text/index.ts";

/**
 * The files of a model whose weights are a GGUF file, as if `config.json`, `tokenizer.json`, `tokenizer_config.json` and
 * `generation_config.json` lay beside it: they are made of its metadata when they are opened, and count even if there are
 * others. Any other set of files is given back as it is.
 *
 * @throws CheckpointError if the file's header is damaged, or if there are several such files and no other weights
 */
export async function withGgufMetadata(files: FileSet): Promise<FileSet> {
  // asked first, so that a folder without GGUF files costs one listing
  if (!(await files.list()).some((name) => name.endsWith(".gguf"))) return files;
  const weights = await findWeights(files);
  if (!weights.endsWith(".gguf")) return files;
  const file = await readGguf(await files.open(weights));
  await file.close();
  const made = describedFiles(file);
  return {
    name: files.name,
    list: async () => [...new Set([...(await files.list()), ...made.keys()])].sort(),
    has: async (name) => made.has(name) || files.has(name),
    async open(name) {
      const content = made.get(name);
      if (!content) return files.open(name);
      return bytesSource(name, new TextEncoder().encode(JSON.stringify(content())));
    },
  };
}

/** Contents by name, each made when it is asked for, so that an unknown tokenizer hinders nobody who needs none. */
function describedFiles(file: GgufFile): Map<string, () => unknown> {
  const made = new Map<string, () => unknown>([["config.json", () => writeMambaConfig(readGgufConfig(file))]]);
  if (hasGgufTokenizer(file.fields)) {
    made.set("tokenizer.json", () => ggufTokenizer(file.fields).tokenizer);
    made.set("tokenizer_config.json", () => ggufTokenizer(file.fields).config);
  }
  const sampling = readSampling(file);
  if (sampling) made.set("generation_config.json", () => sampling);
  return made;
}

/** Sampling by the keys of `generation_config.json` and of GGUF. */
const samplingKeys = [
  ["temperature", "general.sampling.temp", "float32"],
  ["top_p", "general.sampling.top_p", "float32"],
  ["top_k", "general.sampling.top_k", "int32"],
  ["min_p", "general.sampling.min_p", "float32"],
  ["repetition_penalty", "general.sampling.penalty_repeat", "float32"],
] as const;

function readSampling({ fields }: GgufFile): Record<string, unknown> | undefined {
  const found = samplingKeys.flatMap(([name, key]): [string, number][] => {
    const value = fields.get(key)?.value;
    // float32 numbers were meant as short decimal ones
    return typeof value === "number" ? [[name, Number(value.toPrecision(6))]] : [];
  });
  return found.length ? { ...Object.fromEntries(found), do_sample: true } : undefined;
}

/** What a `generation_config.json` says about sampling, as metadata of a GGUF file. */
export function samplingFields(generationConfig: unknown): Map<string, GgufField> {
  const given = (generationConfig ?? {}) as Readonly<Record<string, unknown>>;
  const fields = new Map<string, GgufField>();
  if (given["do_sample"] !== true) return fields;
  for (const [name, key, type] of samplingKeys) {
    const value = given[name];
    if (typeof value === "number" && (type === "float32" || Number.isSafeInteger(value)))
      fields.set(key, { type, value });
  }
  return fields;
}
