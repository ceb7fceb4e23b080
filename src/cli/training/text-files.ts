import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { type ByteSource, openFileSource } from "#platform";
import { ConfigError, DataError, MambaError } from "../../tensor/errors.ts";

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
 * The documents of a file, each in pieces of bytes. A file whose name ends with `.gz` is unpacked while it is read.
 *
 * @param separator - between documents; it belongs to none of them
 * @param onBytes - told how many bytes of the file were read
 * @throws DataError if a packed file is cut off or damaged
 */
export async function* documentsOf(
  path: string,
  separator: string | undefined,
  onBytes: (count: number) => void,
): AsyncGenerator<AsyncGenerator<Uint8Array>> {
  const source = await openFileSource(path);
  const given = bytesOf(source, onBytes);
  const bytes = path.endsWith(".gz") ? unpacked(path, given) : given;
  try {
    const reader = new DocumentReader(bytes, new TextEncoder().encode(separator ?? ""));
    while (!(await reader.isOver())) yield reader.pieces();
  } finally {
    await bytes.return(undefined);
    await source.close();
  }
}

/** All bytes of a file, unpacked if its name ends with `.gz`; throws what {@link documentsOf} does. */
export async function readText(path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const document of documentsOf(path, undefined, () => {})) {
    for await (const piece of document) parts.push(piece);
  }
  return Buffer.concat(parts);
}

async function* bytesOf(source: ByteSource, onBytes: (count: number) => void): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < source.byteLength; from += PIECE_BYTES) {
    const bytes = await source.read(from, Math.min(source.byteLength, from + PIECE_BYTES));
    onBytes(bytes.length);
    yield bytes;
  }
}

async function* unpacked(path: string, packed: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  // the error of a source reaches whoever reads what is unpacked
  const input = Readable.from(packed);
  const output = createGunzip();
  input.on("error", (error) => output.destroy(error));
  try {
    for await (const bytes of input.pipe(output)) yield bytes as Uint8Array;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (!code?.startsWith("Z_")) throw cause;
    const must = "must be packed by gzip, as its name says";
    throw new DataError(`text ${path}: ${must}; it cannot be unpacked (${code}); fetch it again`, { path }, { cause });
  } finally {
    input.destroy();
    output.destroy();
  }
}

/** Cuts bytes that come from front to back into documents, keeping what is not given out yet. */
class DocumentReader {
  readonly #bytes: AsyncIterator<Uint8Array>;
  readonly #separator: Buffer;
  #kept: Buffer = Buffer.alloc(0);
  #isRead = false;

  constructor(bytes: AsyncIterable<Uint8Array>, separator: Uint8Array) {
    this.#bytes = bytes[Symbol.asyncIterator]();
    this.#separator = Buffer.from(separator);
  }

  async isOver(): Promise<boolean> {
    return (await this.#fill(1)) && this.#kept.length === 0;
  }

  /** The pieces of the next document. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const isLast = await this.#fill(PIECE_BYTES);
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

  /** Reads until there are so many bytes; true if nothing is left to read. */
  async #fill(count: number): Promise<boolean> {
    const parts = [this.#kept];
    let there = this.#kept.length;
    while (there < count && !this.#isRead) {
      const { done, value } = await this.#bytes.next();
      if (done) this.#isRead = true;
      else parts.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      there += done ? 0 : value.length;
    }
    if (parts.length > 1) this.#kept = Buffer.concat(parts);
    return this.#isRead;
  }
}
