import { type ByteSource, openFileSource, sha256 } from "#platform";
import { DisposedError } from "../tensor/errors.ts";
import {
  BLOCK_BYTES,
  DIGEST_BYTES,
  damaged,
  HEAD_BYTES,
  readFacts,
  sameBytes,
  type TokenFileFacts,
} from "./token-file-format.ts";
import type { TokenFileOptions } from "./token-file-write.ts";
import { checkTokenRange, placeOfStranger, type TokenFile } from "./tokens.ts";

/** Blocks that a reader keeps: 16 MiB of ids of two bytes, 8 MiB of larger ones. */
const KEPT_BLOCKS = 128;

/**
 * Opens a token file. Only what surrounds the tokens is read; they are read by range, in blocks that are kept for a while.
 * A block's SHA-256 is checked whenever it is read, so that no damaged id reaches a model.
 *
 * @param input - a path (in a browser: an address) or a source, which is closed with the file
 * @throws CheckpointError if the file is no token file, cut off or damaged, or of another tokenizer; `read` throws it for
 *   damage among the tokens
 * @throws MambaError with code `FILE` if there is no such readable file
 */
export async function openTokenFile(
  input: string | ByteSource,
  { tokenizer }: TokenFileOptions = {},
): Promise<TokenFile> {
  const source = typeof input === "string" ? await openFileSource(input) : input;
  try {
    return new StoredTokens(source, await readFacts(source, tokenizer));
  } catch (error) {
    await source.close();
    throw error;
  }
}

class StoredTokens implements TokenFile {
  readonly vocabSize: number;
  readonly length: number;
  readonly documentStarts: Float64Array;
  readonly #source: ByteSource;
  readonly #facts: TokenFileFacts;
  /** By number; those used last are at the end. */
  readonly #blocks = new Map<number, Promise<Int32Array>>();
  #closed = false;

  constructor(source: ByteSource, facts: TokenFileFacts) {
    this.#source = source;
    this.#facts = facts;
    this.vocabSize = facts.vocabSize;
    this.length = facts.length;
    this.documentStarts = facts.documentStarts;
  }

  async read(start: number, end: number): Promise<Int32Array> {
    checkTokenRange(this.#where, this.length, start, end);
    const size = BLOCK_BYTES / this.#facts.width;
    const out = new Int32Array(end - start);
    for (let at = start; at < end; ) {
      const number = Math.floor(at / size);
      const block = await this.#block(number);
      const upTo = Math.min(end, (number + 1) * size);
      out.set(block.subarray(at - number * size, upTo - number * size), at - start);
      at = upTo;
    }
    return out;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // so that no read is under way when the file goes
    await Promise.allSettled(this.#blocks.values());
    this.#blocks.clear();
    await this.#source.close();
  }

  get #where(): string {
    return `token file ${this.#source.name}`;
  }

  #block(number: number): Promise<Int32Array> {
    if (this.#closed) throw new DisposedError(`${this.#where}: must be open; it was closed; open it again`);
    const block = this.#blocks.get(number) ?? this.#load(number);
    this.#blocks.delete(number);
    this.#blocks.set(number, block);
    if (this.#blocks.size > KEPT_BLOCKS) this.#blocks.delete(this.#blocks.keys().next().value!);
    return block;
  }

  #load(number: number): Promise<Int32Array> {
    const block = this.#decode(number);
    // a read that failed may go well the next time
    block.catch(() => this.#blocks.delete(number));
    return block;
  }

  async #decode(number: number): Promise<Int32Array> {
    const { width, length, digests, vocabSize } = this.#facts;
    const { name } = this.#source;
    const first = number * BLOCK_BYTES;
    const bytes = await this.#source.read(
      HEAD_BYTES + first,
      HEAD_BYTES + Math.min(first + BLOCK_BYTES, length * width),
    );
    const digest = digests.subarray(number * DIGEST_BYTES, (number + 1) * DIGEST_BYTES);
    if (!sameBytes(await sha256(bytes), digest)) {
      const must = `the block of tokens from ${first / width} must have the SHA-256 that was written`;
      throw damaged(name, must, "it has another", { token: first / width });
    }
    const ids = width === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
    const place = placeOfStranger(ids, vocabSize);
    if (place >= 0) {
      const token = first / width + place;
      throw damaged(name, `ids must be below ${vocabSize}`, `token ${token} is ${ids[place]}`, { token });
    }
    return Int32Array.from(ids);
  }
}
