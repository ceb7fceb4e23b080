import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ByteSource, openFileSource } from "#platform";
import { ConfigError, MambaError } from "../../tensor/errors.ts";

/** Bytes that are read and tokenized at once; a document that is longer comes in pieces that end with a line. */
const PIECE_BYTES = 2 ** 20;

/** A text file and its size. */
export interface TextFile {
  readonly path: string;
  readonly byteLength: number;
}

/**
 * The text files that paths name: files themselves, and everything in folders, below them too, whose name does not begin with
 * a dot, sorted.
 *
 * @throws MambaError with code `FILE` if there is no such path
 * @throws ConfigError if a folder holds no file
 */
export function findTextFiles(paths: readonly string[]): TextFile[] {
  return paths.flatMap((path) => {
    const files = filesAt(path);
    if (files.length > 0) return files;
    throw new ConfigError(`text ${path}: the folder must hold a file; it holds none; name another`, { path });
  });
}

function filesAt(path: string): TextFile[] {
  try {
    const facts = statSync(path);
    if (facts.isFile()) return [{ path, byteLength: facts.size }];
    const names = facts.isDirectory() ? readdirSync(path).sort() : [];
    return names.filter((name) => !name.startsWith(".")).flatMap((name) => filesAt(join(path, name)));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new MambaError(
      `file ${path}: must be a text file or a folder that can be read; it cannot (${code}); check the path`,
      "FILE",
      { path, code },
      { cause },
    );
  }
}

/**
 * The documents of a file, each in pieces of bytes.
 *
 * @param separator - between documents; it belongs to none of them
 * @param onBytes - told how many bytes were read
 */
export async function* documentsOf(
  path: string,
  separator: string | undefined,
  onBytes: (count: number) => void,
): AsyncGenerator<AsyncGenerator<Uint8Array>> {
  const source = await openFileSource(path);
  try {
    const reader = new DocumentReader(source, new TextEncoder().encode(separator ?? ""), onBytes);
    while (!reader.isOver) yield reader.pieces();
  } finally {
    await source.close();
  }
}

/** Reads a file from front to back, keeping what is not given out yet. */
class DocumentReader {
  readonly #source: ByteSource;
  readonly #separator: Buffer;
  readonly #onBytes: (count: number) => void;
  #kept: Buffer = Buffer.alloc(0);
  #readUpTo = 0;

  constructor(source: ByteSource, separator: Uint8Array, onBytes: (count: number) => void) {
    this.#source = source;
    this.#separator = Buffer.from(separator);
    this.#onBytes = onBytes;
  }

  get isOver(): boolean {
    return this.#kept.length === 0 && this.#readUpTo === this.#source.byteLength;
  }

  /** The pieces of the next document. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const isLast = await this.#fill();
      const end = this.#separator.length ? this.#kept.indexOf(this.#separator) : -1;
      if (end >= 0) {
        const piece = this.#kept.subarray(0, end);
        this.#kept = this.#kept.subarray(end + this.#separator.length);
        if (piece.length) yield piece;
        return;
      }
      if (isLast) {
        const piece = this.#kept;
        this.#kept = Buffer.alloc(0);
        if (piece.length) yield piece;
        return;
      }
      // a separator may begin in the last bytes
      const whole = this.#kept.lastIndexOf(0x0a, this.#kept.length - 1 - this.#separator.length) + 1;
      const cut = whole > 0 ? whole : this.#kept.length - this.#separator.length;
      const piece = this.#kept.subarray(0, cut);
      this.#kept = this.#kept.subarray(cut);
      yield piece;
    }
  }

  /** Reads until a piece is at hand; true if nothing is left to read. */
  async #fill(): Promise<boolean> {
    const { byteLength } = this.#source;
    while (this.#kept.length < PIECE_BYTES && this.#readUpTo < byteLength) {
      const upTo = Math.min(byteLength, this.#readUpTo + PIECE_BYTES);
      const bytes = await this.#source.read(this.#readUpTo, upTo);
      this.#kept = Buffer.concat([this.#kept, bytes]);
      this.#onBytes(upTo - this.#readUpTo);
      this.#readUpTo = upTo;
    }
    return this.#readUpTo === byteLength;
  }
}
