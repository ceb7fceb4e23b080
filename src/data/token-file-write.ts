import { sha256, type WriteBytes, writeFileAtomically } from "#platform";
import { BLOCK_BYTES, encodeEnd, encodeHead, widthFor } from "./token-file-format.ts";
import { checkIds } from "./tokens.ts";

/** The ids of a document: at once, or piece by piece where it is large. */
export type DocumentIds = ArrayLike<number> | AsyncIterable<ArrayLike<number>>;

/** Options of {@link writeTokenFile} and {@link openTokenFile}. */
export interface TokenFileOptions {
  /** What names the tokenizer, as its file's digest: the file keeps its SHA-256, and opening checks it. Default: unsaid. */
  readonly tokenizer?: string;
}

/**
 * Writes documents as a token file, two bytes an id if the vocabulary allows it and four otherwise. The name shows the
 * whole file or, if anything fails, what was there before. Memory holds a block, a piece of a document, and some bytes for
 * each document and block. Documents without tokens are left out.
 *
 * @param vocabSize - ids are below this; at most 2^31
 * @throws ConfigError if an id is not of the vocabulary
 * @throws MambaError with code `FILE` if the file cannot be written
 */
export async function writeTokenFile(
  path: string,
  vocabSize: number,
  documents: AsyncIterable<DocumentIds> | Iterable<DocumentIds>,
  { tokenizer }: TokenFileOptions = {},
): Promise<void> {
  checkIds(`token file ${path}`, [], vocabSize);
  await writeFileAtomically(path, async (write) => {
    const head = await encodeHead(vocabSize, tokenizer);
    await write(head);
    const blocks = new BlockWriter(write, widthFor(vocabSize));
    const starts: number[] = [];
    for await (const document of documents) {
      const start = blocks.length;
      for await (const piece of Symbol.asyncIterator in document ? document : [document]) {
        checkIds(`token file ${path}: document ${starts.length}`, piece, vocabSize);
        await blocks.add(piece);
      }
      if (blocks.length > start) starts.push(start);
    }
    await blocks.flush();
    await write(await encodeEnd(head, blocks.length, starts, blocks.digests));
  });
}

/** Gathers ids into blocks. */
class BlockWriter {
  readonly digests: Uint8Array[] = [];
  /** Ids so far. */
  length = 0;
  readonly #write: WriteBytes;
  readonly #block: Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
  #used = 0;

  constructor(write: WriteBytes, width: 2 | 4) {
    this.#write = write;
    this.#block = width === 2 ? new Uint16Array(BLOCK_BYTES / 2) : new Uint32Array(BLOCK_BYTES / 4);
  }

  async add(ids: ArrayLike<number>): Promise<void> {
    for (let i = 0; i < ids.length; i++) {
      this.#block[this.#used++] = ids[i]!;
      if (this.#used === this.#block.length) await this.flush();
    }
    this.length += ids.length;
  }

  async flush(): Promise<void> {
    if (this.#used === 0) return;
    const bytes = new Uint8Array(this.#block.buffer, 0, this.#used * this.#block.BYTES_PER_ELEMENT);
    this.digests.push(await sha256(bytes));
    await this.#write(bytes);
    this.#used = 0;
  }
}
