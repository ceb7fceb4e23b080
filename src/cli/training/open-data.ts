import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "#platform";
import {
  type BatchSource,
  openTokenFile,
  packedDocuments,
  shuffledWindows,
  split,
  streamedWindows,
  type TokenFile,
  validationWindows,
  writeTokenFile,
} from "../../data/index.ts";
import { ConfigError, throwIfAborted } from "../../tensor/errors.ts";
import { byteTokenizerFile, type Tokenizer } from "../../text/index.ts";
import { type CompleteTrainConfig, taskSource } from "../../training/index.ts";
import { openModelFiles } from "../open-model.ts";
import type { SourceFlags } from "../options.ts";
import { formatBytes, Progress } from "../progress.ts";
import type { Terminal } from "../terminal.ts";
import { readTokenizer, type TokenizerFiles } from "./read-tokenizer.ts";
import { documentsOf, findTextFiles, type TextFile } from "./text-files.ts";

/** What a run learns from. */
export interface TrainingData {
  readonly training: BatchSource;
  readonly validation?: BatchSource;
  /** Batches that `validation` has, where it is not endless. */
  readonly validationBatches?: number;
  /** Files of the tokenizer by name, for the model's folder; none for tasks, whose ids are no text. */
  readonly tokenizerFiles: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

type TextData = Extract<CompleteTrainConfig["data"], { readonly text: unknown }>;

/** Where data is looked for and kept. */
export interface DataOptions {
  /** The tokenizer of the model that is trained on; undefined for a new one. */
  readonly tokenizer: TokenizerFiles | undefined;
  readonly flags: SourceFlags;
  /** Where tokens are kept; those that are there already are taken. Default: a folder that {@link TrainingData.close} removes. */
  readonly cacheFolder: string | undefined;
}

/**
 * Opens the data of a configuration: a task, or text, which is tokenized once and read from a token file then.
 *
 * @throws ConfigError if there is too little data, or it cannot be
 * @throws MambaError with code `FILE` if a text cannot be read
 */
export async function openData(
  config: CompleteTrainConfig,
  options: DataOptions,
  terminal: Terminal,
): Promise<TrainingData> {
  const { data } = config;
  if ("text" in data) return openText(config, data, options, terminal);
  const training = taskSource(config, "training")!;
  const validation = taskSource(config, "validation");
  return { training, validation, tokenizerFiles: options.tokenizer?.files ?? {}, close: async () => {} };
}

async function openText(
  config: CompleteTrainConfig,
  data: TextData,
  { tokenizer: given, flags, cacheFolder }: DataOptions,
  terminal: Terminal,
): Promise<TrainingData> {
  const tokenizer = given ?? (await namedTokenizer(data.tokenizer, flags, terminal));
  const folder = cacheFolder ?? mkdtempSync(join(tmpdir(), "mamba-tokens-"));
  const files: TokenFile[] = [];
  const close = async (): Promise<void> => {
    for (const file of files) await file.close();
    if (!cacheFolder) rmSync(folder, { recursive: true, force: true });
  };
  try {
    const open = async (paths: readonly string[], name: string): Promise<TokenFile> => {
      const file = await openTokens(paths, join(folder, name), data.separator, tokenizer, terminal);
      files.push(file);
      return file;
    };
    const all = await open(data.text, "training.tokens");
    const apart = data.validationText && (await open(data.validationText, "validation.tokens"));
    return { ...sourcesOf(config, data, all, apart), tokenizerFiles: tokenizer.files, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Cuts what is for validation off the end, unless it comes apart. */
function sourcesOf(
  { length, batch, seed }: CompleteTrainConfig,
  { mode, validationShare }: TextData,
  all: TokenFile,
  apart: TokenFile | undefined,
): Pick<TrainingData, "training" | "validation" | "validationBatches"> {
  const isCut = !apart && validationShare > 0;
  const parts = isCut ? split(all, validationShare) : { first: all, last: apart };
  const sizes = { length, batch };
  const training =
    mode === "streamed"
      ? streamedWindows(parts.first, sizes)
      : (mode === "packed" ? packedDocuments : shuffledWindows)(parts.first, { ...sizes, seed });
  if (!parts.last) return { training };
  const validation = validationWindows(parts.last, sizes);
  return { training, validation, validationBatches: validation.batches };
}

async function namedTokenizer(name: string, flags: SourceFlags, terminal: Terminal): Promise<TokenizerFiles> {
  if (name === "bytes") return { tokenizer: undefined, files: { "tokenizer.json": byteTokenizerFile() } };
  const found = await readTokenizer(await openModelFiles(name, flags, terminal));
  if (found) return found;
  throw new ConfigError(`data.tokenizer: ${name} must have tokenizer.json; it has none; name another, or "bytes"`, {
    name,
  });
}

/** Tokenizes texts into a token file, unless it is there. */
async function openTokens(
  paths: readonly string[],
  target: string,
  separator: string | undefined,
  { tokenizer, files }: TokenizerFiles,
  terminal: Terminal,
): Promise<TokenFile> {
  const digest = await sha256(new TextEncoder().encode(JSON.stringify(files["tokenizer.json"])));
  const identity = tokenizer ? Buffer.from(digest).toString("hex") : "bytes";
  if (!existsSync(target)) {
    const documents = tokenizedDocuments(findTextFiles(paths), separator, tokenizer, terminal);
    await writeTokenFile(target, tokenizer?.vocabSize ?? 256, documents, { tokenizer: identity });
  }
  return openTokenFile(target, { tokenizer: identity });
}

async function* tokenizedDocuments(
  texts: readonly TextFile[],
  separator: string | undefined,
  tokenizer: Tokenizer | undefined,
  terminal: Terminal,
): AsyncGenerator<AsyncGenerator<ArrayLike<number>>> {
  const progress = new Progress(terminal);
  const total = texts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  const onBytes = (path: string) => (count: number) => {
    done += count;
    progress.update("tokenize", done, total, `${formatBytes(done)} of ${formatBytes(total)}  ${path}`);
    throwIfAborted(terminal.signal, "tokenize");
  };
  try {
    for (const { path } of texts) {
      for await (const pieces of documentsOf(path, separator, onBytes(path))) yield tokenized(path, pieces, tokenizer);
    }
  } finally {
    progress.clear();
  }
}

/** Ids of a document, with the end-of-text token behind them where the tokenizer has one. */
async function* tokenized(
  path: string,
  pieces: AsyncIterable<Uint8Array>,
  tokenizer: Tokenizer | undefined,
): AsyncGenerator<ArrayLike<number>> {
  let isEmpty = true;
  for await (const piece of pieces) {
    isEmpty = false;
    yield tokenizer ? tokenizer.encode(decodeText(path, piece), { addSpecialTokens: false }) : piece;
  }
  if (!isEmpty && tokenizer?.eosTokenId !== undefined) yield [tokenizer.eosTokenId];
}

function decodeText(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new ConfigError(`text ${path}: must be UTF-8; it is not; convert it, or train on bytes`, { path }, { cause });
  }
}
