import { ConfigError } from "../tensor/errors.ts";
import type { Batch } from "./batch.ts";
import { type PackedRows, packRows } from "./pack-rows.ts";
import { permuted } from "./permutation.ts";
import { checkSize } from "./task-options.ts";
import type { TokenFile } from "./tokens.ts";
import type { ShuffledSource, ShuffleOptions } from "./windows.ts";

/** Documents and parts of documents that are longer than a row. */
interface Pieces {
  readonly starts: Float64Array;
  readonly sizes: Int32Array;
  /** 1 where the document goes on behind the piece: its last token has a target. */
  readonly goesOn: Uint8Array;
}

/**
 * Whole documents packed into rows, told apart by `segmentIds` 0, 1, ... in each row. A document's last token has target -1;
 * what stays free at a row's end has segment -1, id 0 and target -1. A document of more than `length` tokens is cut into
 * pieces of `length`, each of which starts without memory of the one before; a piece's last target is the next piece's
 * first token. A last piece of one token has nothing to predict and is left out, as are documents of one token.
 *
 * Which pieces share a row is the same in all epochs, which changes no gradient but by padding; each epoch draws an order
 * of rows. Planning takes time in proportion to the tokens and some 20 bytes of memory for each piece.
 *
 * @throws ConfigError if no document has two tokens
 */
export function packedDocuments(tokens: TokenFile, { length, batch, seed }: ShuffleOptions): ShuffledSource {
  checkSize("packedDocuments", "length", length, 1);
  checkSize("packedDocuments", "batch", batch, 1);
  checkSize("packedDocuments", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  const pieces = cutDocuments(tokens, length);
  const packed = packRows(pieces.sizes, length);
  const rows = packed.rowStarts.length - 1;
  if (rows === 0) {
    const documents = tokens.documentStarts.length;
    throw new ConfigError(
      `packedDocuments: the data must hold a document of at least 2 tokens; it holds ${tokens.length} tokens in ${documents} documents; give more text`,
      { tokens: tokens.length, documents, needed: 2 },
    );
  }
  return {
    vocabSize: tokens.vocabSize,
    rows,
    batch: async (step) => {
      const made = emptyRows(batch, length);
      await Promise.all(
        Array.from({ length: batch }, (_, row) => {
          const number = step * batch + row;
          const place = permuted(number % rows, rows, { seed, epoch: Math.floor(number / rows) });
          return fillRow(made, row, tokens, pieces, packed, place);
        }),
      );
      return made;
    },
  };
}

function cutDocuments({ documentStarts, length: tokens }: TokenFile, length: number): Pieces {
  const endOf = (document: number): number => documentStarts[document + 1] ?? tokens;
  let count = 0;
  for (let i = 0; i < documentStarts.length; i++) count += Math.ceil((endOf(i) - documentStarts[i]! - 1) / length);
  const starts = new Float64Array(count);
  const sizes = new Int32Array(count);
  const goesOn = new Uint8Array(count);
  let piece = 0;
  for (let i = 0; i < documentStarts.length; i++) {
    const end = endOf(i);
    for (let start = documentStarts[i]!; start < end - 1; start += length) {
      starts[piece] = start;
      sizes[piece] = Math.min(length, end - start);
      goesOn[piece] = start + length < end ? 1 : 0;
      piece++;
    }
  }
  return { starts, sizes, goesOn };
}

function emptyRows(batch: number, length: number): Batch & { segmentIds: Int32Array } {
  const unscored = (): Int32Array => new Int32Array(batch * length).fill(-1);
  return { ids: new Int32Array(batch * length), targets: unscored(), segmentIds: unscored(), batch, length };
}

/** Writes the pieces of one packed row into a row of a batch. */
async function fillRow(
  { ids, targets, segmentIds, length }: ReturnType<typeof emptyRows>,
  row: number,
  tokens: TokenFile,
  { starts, sizes, goesOn }: Pieces,
  { pieces, rowStarts }: PackedRows,
  place: number,
): Promise<void> {
  let at = row * length;
  let segment = 0;
  for (const piece of pieces.subarray(rowStarts[place]!, rowStarts[place + 1]!)) {
    const [start, size] = [starts[piece]!, sizes[piece]!];
    const read = await tokens.read(start, start + size + goesOn[piece]!);
    ids.set(read.subarray(0, size), at);
    targets.set(read.subarray(1), at);
    segmentIds.fill(segment++, at, at + size);
    at += size;
  }
}
