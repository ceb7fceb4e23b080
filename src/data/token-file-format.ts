import { type ByteSource, sha256 } from "#platform";
import { CheckpointError } from "../tensor/errors.ts";
import { largestVocabulary, problemOfStarts } from "./tokens.ts";

// docs/data.md describes the format; everything is little-endian.

const MAGIC = new TextEncoder().encode("mambatok");
const VERSION = 1;
/** Bytes before the tokens. */
export const HEAD_BYTES = 64;
const TAIL_BYTES = 56;
/** Bytes of a block of tokens, each with a digest of its own; the last may be shorter. */
export const BLOCK_BYTES = 2 ** 16;
/** Bytes of a SHA-256. */
export const DIGEST_BYTES = 32;
const START_BYTES = 8;

/** What a token file says of itself. */
export interface TokenFileFacts {
  readonly vocabSize: number;
  /** Bytes of a token. */
  readonly width: 2 | 4;
  readonly length: number;
  readonly documentStarts: Float64Array;
  /** SHA-256 of each block of tokens, one after another. */
  readonly digests: Uint8Array;
}

/** Bytes that a token takes. */
export function widthFor(vocabSize: number): 2 | 4 {
  return vocabSize <= 2 ** 16 ? 2 : 4;
}

/** SHA-256 of what names a tokenizer; zeros where nothing does. */
export async function tokenizerDigest(tokenizer: string | undefined): Promise<Uint8Array> {
  return tokenizer === undefined ? new Uint8Array(DIGEST_BYTES) : sha256(new TextEncoder().encode(tokenizer));
}

/** The bytes before the tokens. */
export async function encodeHead(vocabSize: number, tokenizer: string | undefined): Promise<Uint8Array> {
  const head = new Uint8Array(HEAD_BYTES);
  const view = new DataView(head.buffer);
  head.set(MAGIC);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, widthFor(vocabSize), true);
  view.setUint32(16, vocabSize, true);
  head.set(await tokenizerDigest(tokenizer), 32);
  return head;
}

/** The bytes behind the tokens: starts, digests of blocks, and the tail. */
export async function encodeEnd(
  head: Uint8Array,
  length: number,
  documentStarts: readonly number[],
  digests: readonly Uint8Array[],
): Promise<Uint8Array> {
  const counts = documentStarts.length * START_BYTES + digests.length * DIGEST_BYTES;
  const end = new Uint8Array(counts + TAIL_BYTES);
  const view = new DataView(end.buffer);
  documentStarts.forEach((start, i) => {
    view.setBigUint64(i * START_BYTES, BigInt(start), true);
  });
  digests.forEach((digest, i) => {
    end.set(digest, documentStarts.length * START_BYTES + i * DIGEST_BYTES);
  });
  view.setBigUint64(counts, BigInt(length), true);
  view.setBigUint64(counts + 8, BigInt(documentStarts.length), true);
  end.set(await sha256(head, end.subarray(0, counts + 16)), counts + 16);
  end.set(MAGIC, counts + 48);
  return end;
}

/**
 * Reads and checks all of a token file but its tokens. Nothing is allocated on the word of a length before that is held
 * against the size of the file.
 *
 * @param tokenizer - what the file's tokenizer must be named, if the caller knows
 * @throws CheckpointError naming the first rule that is broken
 */
export async function readFacts(source: ByteSource, tokenizer: string | undefined): Promise<TokenFileFacts> {
  const { name, byteLength } = source;
  if (byteLength < HEAD_BYTES + TAIL_BYTES) {
    throw damaged(name, `must be ${HEAD_BYTES + TAIL_BYTES} bytes long at least`, `it has ${byteLength}`, {});
  }
  const head = await source.read(0, HEAD_BYTES);
  const { vocabSize, width } = checkHead(name, head);
  const tail = await source.read(byteLength - TAIL_BYTES, byteLength);
  const { length, documents } = checkTail(name, tail, byteLength, width);
  const rest = await source.read(HEAD_BYTES + length * width, byteLength - TAIL_BYTES);
  const digest = await sha256(head, rest, tail.subarray(0, 16));
  if (!sameBytes(digest, tail.subarray(16, 48))) {
    throw damaged(name, "what surrounds its tokens must have the SHA-256 written at its end", "it has another", {});
  }
  const documentStarts = Float64Array.from(new BigUint64Array(rest.buffer, 0, documents), Number);
  const problem = problemOfStarts(documentStarts, length);
  if (problem) throw damaged(name, problem, "", {});
  await checkTokenizer(name, head.subarray(32), tokenizer);
  return { vocabSize, width, length, documentStarts, digests: rest.subarray(documents * START_BYTES) };
}

function checkHead(name: string, head: Uint8Array<ArrayBuffer>): Pick<TokenFileFacts, "vocabSize" | "width"> {
  const view = new DataView(head.buffer);
  const word = (at: number): number => view.getUint32(at, true);
  const [version, width, vocabSize] = [word(8), word(12), word(16)];
  if (!sameBytes(head.subarray(0, 8), MAGIC)) {
    throw new CheckpointError(
      `token file ${name}: must begin with "mambatok"; it does not; it is another kind of file, name a token file`,
      { file: name },
    );
  }
  if (version !== VERSION) {
    throw new CheckpointError(
      `token file ${name}: its version must be ${VERSION}; it is ${version}; write it again with this version of mamba.ts`,
      { file: name, version },
    );
  }
  if (vocabSize < 1 || vocabSize > largestVocabulary) {
    throw damaged(name, `its vocabulary must be from 1 to ${largestVocabulary}`, `it is ${vocabSize}`, { vocabSize });
  }
  if (width !== widthFor(vocabSize)) {
    const must = `a token of ${vocabSize} must take ${widthFor(vocabSize)} bytes`;
    throw damaged(name, must, `it takes ${width}`, { vocabSize, width });
  }
  return { vocabSize, width };
}

function checkTail(
  name: string,
  tail: Uint8Array<ArrayBuffer>,
  byteLength: number,
  width: number,
): { length: number; documents: number } {
  if (!sameBytes(tail.subarray(48), MAGIC)) throw damaged(name, 'must end with "mambatok"', "it does not", {});
  const view = new DataView(tail.buffer);
  const length = Number(view.getBigUint64(0, true));
  const documents = Number(view.getBigUint64(8, true));
  const blocks = Math.ceil((length * width) / BLOCK_BYTES);
  const needed = HEAD_BYTES + length * width + documents * START_BYTES + blocks * DIGEST_BYTES + TAIL_BYTES;
  if (needed !== byteLength) {
    const must = `${length} tokens in ${documents} documents must take ${needed} bytes`;
    throw damaged(name, must, `it has ${byteLength}`, { length, documents, needed, byteLength });
  }
  return { length, documents };
}

async function checkTokenizer(name: string, written: Uint8Array, tokenizer: string | undefined): Promise<void> {
  if (tokenizer === undefined || sameBytes(written, await tokenizerDigest(tokenizer))) return;
  const came = written.some((byte) => byte > 0) ? "they are of another" : "it does not say which they are of";
  throw new CheckpointError(
    `token file ${name}: its ids must be of the tokenizer ${JSON.stringify(tokenizer.slice(0, 80))}; ${came}; write it again from the text`,
    { file: name, tokenizer },
  );
}

/** Whether two arrays hold the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The error of a file that is cut off or changed. */
export function damaged(name: string, must: string, came: string, facts: Record<string, unknown>): CheckpointError {
  const found = came ? `; ${came}` : "";
  return new CheckpointError(`token file ${name}: ${must}${found}; it is cut off or damaged, write it again`, {
    file: name,
    ...facts,
  });
}
