import { ConfigError } from "../tensor/errors.ts";
import type { Batch, BatchSource } from "./batch.ts";
import { drawnOffset, permuted } from "./permutation.ts";
import { checkSize } from "./task-options.ts";
import type { TokenFile } from "./tokens.ts";

/** Options of {@link streamedWindows} and {@link validationWindows}. */
export interface WindowOptions {
  /** Tokens of a row. */
  readonly length: number;
  /** Rows of a batch. */
  readonly batch: number;
}

/** Options of {@link shuffledWindows} and {@link packedDocuments}. */
export interface ShuffleOptions extends WindowOptions {
  /** Same seed, same order. */
  readonly seed: number;
}

/** Batches in an order that each epoch draws anew. Rows follow each other without regard to batches. */
export interface ShuffledSource extends BatchSource {
  /** Rows of an epoch. */
  readonly rows: number;
}

/** Batches in the order of the data. */
export interface OrderedSource extends BatchSource {
  /** Batches after which it begins again. */
  readonly batches: number;
}

/**
 * Windows of the tokens in random order. A window is `length` + 1 tokens: inputs, and as targets the same one further on.
 * Windows lie on a grid of step `length`, so no token is an input twice in an epoch, nor a target; documents are not told
 * apart. Each epoch draws an order, and where its grid begins; for that it does with one window less than the tokens hold.
 *
 * Epoch e of w windows is rows e w to (e + 1) w - 1 of all batches. Any batch takes time and memory of its own size.
 *
 * @throws ConfigError if there are fewer than `length` + 1 tokens
 */
export function shuffledWindows(tokens: TokenFile, { length, batch, seed }: ShuffleOptions): ShuffledSource {
  checkWindows("shuffledWindows", tokens, { length, batch }, length + 1);
  checkSize("shuffledWindows", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  const windows = Math.max(1, Math.floor((tokens.length - 1) / length) - 1);
  const spare = tokens.length - 1 - windows * length;
  return {
    vocabSize: tokens.vocabSize,
    rows: windows,
    batch: (step) => {
      const starts = Array.from({ length: batch }, (_, row) => {
        const number = step * batch + row;
        const shuffle = { seed, epoch: Math.floor(number / windows) };
        return drawnOffset(spare + 1, shuffle) + permuted(number % windows, windows, shuffle) * length;
      });
      return windowRows(tokens, starts, length);
    },
  };
}

/**
 * The tokens as `batch` streams, for training with carried state. A pass over n batches gives each row a share of n `length`
 * neighbouring tokens, in order; what cannot be shared out evenly, less than a batch, is left out at the end in even
 * passes and at the beginning in odd ones. `continues` is true but for a pass's first batch.
 *
 * @throws ConfigError if there are fewer than `batch` `length` + 1 tokens
 */
export function streamedWindows(tokens: TokenFile, { length, batch }: WindowOptions): OrderedSource {
  checkWindows("streamedWindows", tokens, { length, batch }, batch * length + 1);
  const batches = Math.floor((tokens.length - 1) / (batch * length));
  const spare = tokens.length - 1 - batches * batch * length;
  return {
    vocabSize: tokens.vocabSize,
    batches,
    batch: async (step) => {
      const number = step % batches;
      const first = Math.floor(step / batches) % 2 === 0 ? 0 : spare;
      const starts = Array.from({ length: batch }, (_, row) => first + (row * batches + number) * length);
      return { ...(await windowRows(tokens, starts, length)), continues: number > 0 };
    },
  };
}

/**
 * All tokens once, in fixed windows: every token but the first is scored in exactly one place of the first `batches`
 * batches. The last window, and rows behind it, are filled with id 0 and target -1. Later batches begin again.
 *
 * @throws ConfigError if there are fewer than 2 tokens
 */
export function validationWindows(tokens: TokenFile, { length, batch }: WindowOptions): OrderedSource {
  checkWindows("validationWindows", tokens, { length, batch }, 2);
  const batches = Math.ceil((tokens.length - 1) / (batch * length));
  return {
    vocabSize: tokens.vocabSize,
    batches,
    batch: (step) => {
      const first = (step % batches) * batch;
      const starts = Array.from({ length: batch }, (_, row) => (first + row) * length);
      return windowRows(tokens, starts, length);
    },
  };
}

/** Rows that begin at `starts`; behind the last token they hold 0, which is not scored. */
async function windowRows(tokens: TokenFile, starts: readonly number[], length: number): Promise<Batch> {
  const ids = new Int32Array(starts.length * length);
  const targets = new Int32Array(starts.length * length).fill(-1);
  await Promise.all(
    starts.map(async (start, row) => {
      if (start >= tokens.length - 1) return;
      const window = await tokens.read(start, Math.min(tokens.length, start + length + 1));
      ids.set(window.subarray(0, -1), row * length);
      targets.set(window.subarray(1), row * length);
    }),
  );
  return { ids, targets, batch: starts.length, length };
}

function checkWindows(where: string, tokens: TokenFile, { length, batch }: WindowOptions, needed: number): void {
  checkSize(where, "length", length, 1);
  checkSize(where, "batch", batch, 1);
  if (tokens.length >= needed) return;
  throw new ConfigError(
    `${where}: ${batch} rows of ${length} tokens need data of at least ${needed} tokens; it holds ${tokens.length}; give more text, or shorter or fewer rows`,
    { length, batch, needed, tokens: tokens.length },
  );
}
