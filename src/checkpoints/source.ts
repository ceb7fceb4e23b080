import { type ByteSource, checkFileName, checkRange, type FileSet, openFileSource } from "#platform";
import { CheckpointError } from "../tensor/errors.ts";

export type { ByteSource, FileSet };

/** What a reader of one file takes: a source, bytes in memory, or a path (in a browser: an address). */
export type CheckpointInput = ByteSource | Uint8Array | string;

/** Text files beyond this are no configuration. */
const longestText = 64 * 2 ** 20;

/** A source over bytes in memory; every read copies. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    byteLength: bytes.length,
    async read(start, end) {
      checkRange(name, bytes.length, start, end);
      return new Uint8Array(bytes.subarray(start, end));
    },
    async close() {},
  };
}

/** A source over a Blob or File, as a browser's file picker gives it; nothing is read before it is asked for. */
export function blobSource(blob: Blob, name = blob instanceof File ? blob.name : "blob"): ByteSource {
  return {
    name,
    byteLength: blob.size,
    async read(start, end) {
      checkRange(name, blob.size, start, end);
      return new Uint8Array(await blob.slice(start, end).arrayBuffer());
    },
    async close() {},
  };
}

/** A set of files in memory: bytes, Blobs, or text that is encoded as UTF-8. */
export function memoryFiles(files: Readonly<Record<string, Uint8Array | Blob | string>>, name = "memory"): FileSet {
  const byName = new Map(Object.entries(files));
  return {
    name,
    list: async () => [...byName.keys()].sort(),
    has: async (file) => byName.has(file),
    async open(file) {
      checkFileName(file);
      const content = byName.get(file);
      if (content === undefined) {
        throw new CheckpointError(`${name}: ${file} must be there; it is not; got ${[...byName.keys()].join(", ")}`, {
          file,
        });
      }
      if (content instanceof Blob) return blobSource(content, file);
      return bytesSource(file, typeof content === "string" ? new TextEncoder().encode(content) : content);
    },
  };
}

/** Opens whatever a reader was given. */
export async function toSource(input: CheckpointInput, name = "bytes"): Promise<ByteSource> {
  if (typeof input === "string") return openFileSource(input);
  return input instanceof Uint8Array ? bytesSource(name, input) : input;
}

/**
 * Reads a small UTF-8 file whole.
 *
 * @throws CheckpointError if it is larger than 64 MiB or not UTF-8
 */
export async function readText(files: FileSet, name: string): Promise<string> {
  const source = await files.open(name);
  try {
    if (source.byteLength > longestText) {
      throw new CheckpointError(`${name}: a text file must be at most 64 MiB; got ${source.byteLength} bytes`, {
        file: name,
        byteLength: source.byteLength,
      });
    }
    return decodeUtf8(name, await source.read(0, source.byteLength));
  } finally {
    await source.close();
  }
}

/**
 * Reads a JSON file.
 *
 * @throws CheckpointError if it is not JSON
 */
export async function readJson(files: FileSet, name: string): Promise<unknown> {
  return parseJson(name, await readText(files, name));
}

/** Decodes UTF-8 strictly. */
export function decodeUtf8(where: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new CheckpointError(`${where}: text must be UTF-8; it is not; the file is damaged`, { where }, { cause });
  }
}

/** Parses JSON. */
export function parseJson(where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const problem = (cause as Error).message.slice(0, 200);
    throw new CheckpointError(`${where}: must be JSON; ${problem}; the file is damaged`, { where }, { cause });
  }
}
