import { findModelPath, openFolder } from "#platform";
import { type FileSet, hubFiles, readJson, selectGguf } from "../checkpoints/index.ts";
import { type DeviceOptions, openDevice } from "../ops/devices.ts";
import type { Device, DeviceName, MatmulPrecision } from "../tensor/device.ts";
import type { DType } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { loadTokenizer, type Tokenizer } from "../text/index.ts";
import type { CausalLMParts } from "./causal-lm.ts";
import { withGgufMetadata } from "./gguf-files.ts";
import { type LoadProgress, loadMamba } from "./load-mamba.ts";

/** Where a model comes from: a path, a hub name, a shipped name, or files at hand. */
export type PretrainedSource = string | FileSet;

/** Options of {@link CausalLM.fromPretrained}. */
export interface PretrainedOptions extends DeviceOptions {
  /** Default `auto`: the fastest there is. */
  readonly device?: "auto" | DeviceName | Device;
  readonly dtype?: "auto" | DType;
  /** Branch, tag or commit on the hub; default `main`. */
  readonly revision?: string;
  /** Access token; default the environment's `HF_TOKEN`. */
  readonly token?: string;
  readonly cacheDir?: string;
  /** Use the cache only. */
  readonly localFilesOnly?: boolean;
  readonly progress?: (event: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/**
 * Finds a model's files. Those of a GGUF file are what its metadata says, see {@link withGgufMetadata}. On the hub such a file is named
 * as llama.cpp names it: `org/name:Q8_0`, `org/name:file.gguf`, also `hf:org/name/file.gguf`.
 *
 * @throws CheckpointError if there is nothing at a path
 * @throws HubError if the hub does not have it
 */
export async function findModelFiles(source: PretrainedSource, options: PretrainedOptions = {}): Promise<FileSet> {
  if (typeof source !== "string") return withGgufMetadata(source);
  const path = await findModelPath(source);
  if (path) return withGgufMetadata(await openFolder(path));
  const [, id, gguf] = /^(?:hf:)?([\w.-]+\/[\w.-]+)(?:[:/]([\w./-]+))?$/.exec(source) ?? [];
  if (id === undefined || (gguf !== undefined && source.includes(`${id}/`) && !/\.gguf$/i.test(gguf))) {
    throw new CheckpointError(
      `model "${source}": must be a folder, a weights file, a shipped model, or a hub name like org/name or org/name:file.gguf; there is none of these; check the spelling`,
      { source },
    );
  }
  const { progress } = options;
  const files = await hubFiles(id, {
    ...options,
    ...(gguf === undefined ? {} : { files: { gguf } }),
    progress: (event) =>
      progress?.({ phase: "download", name: event.file, loadedBytes: event.loadedBytes, totalBytes: event.totalBytes }),
  });
  return gguf === undefined ? files : withGgufMetadata(onlyGguf(files, selectGguf(id, await files.list(), gguf)));
}

/** One GGUF file of several that may have been pulled. */
function onlyGguf(files: FileSet, file: string): FileSet {
  return {
    name: files.name,
    list: async () => [file],
    has: async (name) => name === file,
    open: (name) => files.open(name),
  };
}

/** Opens a model with its tokenizer on a device. */
export async function openPretrained(source: PretrainedSource, options: PretrainedOptions): Promise<CausalLMParts> {
  const files = await findModelFiles(source, options);
  const tokenizer = await openTokenizer(files);
  const generationConfig = await optionalJson(files, "generation_config.json");
  const given = options.device ?? "auto";
  const device = typeof given === "string" ? await openDevice(given, options) : given;
  const ownsDevice = typeof given === "string";
  try {
    const { dtype, progress, signal } = options;
    if (ownsDevice) device.matmulPrecision = precisionFor(device, dtype);
    const loaded = await loadMamba(files, { device, dtype: dtype === "auto" ? undefined : dtype, progress, signal });
    const { architecture } = loaded.config;
    const identity = async () => ({ architecture, fingerprint: loaded.fingerprint });
    return { model: loaded.model, tokenizer, generationConfig, identity, warnings: loaded.warnings, ownsDevice };
  } catch (error) {
    if (ownsDevice) device.dispose();
    throw error;
  }
}

/** What products may round activations to: weights that were asked for in 16 bits or fewer are no finer than float16. */
export function precisionFor({ matmulPrecision, matmulPrecisions }: Device, dtype?: "auto" | DType): MatmulPrecision {
  const isSmall = dtype === "float16" || dtype === "int8" || dtype === "int4";
  return isSmall && matmulPrecisions.includes("float16") ? "float16" : matmulPrecision;
}

/** The tokenizer of a model's folder. */
export async function openTokenizer(files: FileSet): Promise<Tokenizer> {
  if (!(await files.has("tokenizer.json"))) {
    throw new CheckpointError(
      `${files.name}: must hold tokenizer.json; it holds ${(await files.list()).join(", ")}; copy the tokenizer of the model beside its weights`,
      {},
    );
  }
  return loadTokenizer(await readJson(files, "tokenizer.json"), await optionalJson(files, "tokenizer_config.json"));
}

async function optionalJson(files: FileSet, name: string): Promise<unknown> {
  return (await files.has(name)) ? readJson(files, name) : undefined;
}
