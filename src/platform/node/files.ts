import { constants } from "node:fs";
import { access, type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  type ByteSource,
  checkFileName,
  checkRange,
  type FileSet,
  fileError,
  isWeightsName,
  onlyWeights,
  type WriteBytes,
} from "../files.ts";

/** Larger reads are refused by the operating system's call. */
const largestRead = 2 ** 30;

/**
 * Opens a file for reading by range.
 *
 * @throws MambaError with code `FILE` if there is no such readable file
 */
export async function openFileSource(path: string): Promise<ByteSource> {
  const handle = await attempt(path, () => open(path, "r"));
  const facts = await handle.stat();
  if (!facts.isFile()) {
    await handle.close();
    throw fileError(path, "must be a regular file; it is a folder or device; name a file", {});
  }
  return {
    name: path,
    byteLength: facts.size,
    async read(start, end) {
      checkRange(path, facts.size, start, end);
      return readFully(path, handle, start, end);
    },
    close: () => handle.close(),
  };
}

/**
 * The files of a folder, or a single weights file with what lies beside it (`config.json`, `tokenizer.json`) but no other
 * weights. Links are followed; names of subfolders' files are reachable but not listed.
 *
 * @throws MambaError with code `FILE` if `path` is neither
 */
export async function openFolder(path: string): Promise<FileSet> {
  const kind = await pathKind(path);
  if (kind === "file" && isWeightsName(path)) return onlyWeights(folderFiles(dirname(path)), basename(path));
  if (kind === "folder") return folderFiles(path);
  const came = kind === "file" ? "it is another file" : "there is none";
  throw fileError(path, `must be a folder or a weights file; ${came}; check the path`, {});
}

function folderFiles(path: string): FileSet {
  const kindOf = (file: string): Promise<"file" | "folder" | undefined> => {
    checkFileName(file);
    return pathKind(join(path, file));
  };
  return {
    name: path,
    async list() {
      const names = await readdir(path);
      const kinds = await Promise.all(names.map(kindOf));
      return names.filter((_, i) => kinds[i] === "file").sort();
    },
    has: async (file) => (await kindOf(file)) === "file",
    async open(file) {
      checkFileName(file);
      return openFileSource(join(path, file));
    },
  };
}

/** Whether a path names a file, a folder or nothing. */
export async function pathKind(path: string): Promise<"file" | "folder" | undefined> {
  try {
    await access(path, constants.F_OK);
    const facts = await stat(path);
    return facts.isDirectory() ? "folder" : facts.isFile() ? "file" : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes a file so that its name never shows half of it: into a temporary file beside it, flushed to the disk, then
 * renamed. If `fill` throws, the temporary file is removed and an older file of that name stays as it was.
 *
 * @param fill - writes the content, in order, through its argument
 */
export async function writeFileAtomically(path: string, fill: (write: WriteBytes) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}.tmp`);
  const handle = await attempt(path, () => open(temporary, "wx"));
  try {
    try {
      await fill(async (bytes) => {
        await attempt(path, () => writeFully(handle, bytes));
      });
      await attempt(path, () => handle.sync());
    } finally {
      await handle.close();
    }
    await attempt(path, () => rename(temporary, path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Removes from a folder what {@link writeFileAtomically} leaves there when its process is killed. */
export async function removeTemporaries(folder: string): Promise<void> {
  for (const name of await attempt(folder, () => readdir(folder))) {
    if (/^\..+\.[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\.tmp$/.test(name))
      await rm(join(folder, name), { force: true });
  }
}

async function readFully(
  path: string,
  handle: FileHandle,
  start: number,
  end: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const out = new Uint8Array(end - start);
  let done = 0;
  while (done < out.length) {
    const size = Math.min(largestRead, out.length - done);
    const { bytesRead } = await attempt(path, () => handle.read(out, done, size, start + done));
    if (bytesRead === 0) {
      throw fileError(path, `must hold ${end} bytes; it ended at ${start + done}; somebody else is changing it`, {
        end,
      });
    }
    done += bytesRead;
  }
  return out;
}

async function writeFully(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(largestRead, bytes.length - done));
    done += bytesWritten;
  }
}

async function attempt<Result>(path: string, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (cause) {
    const code = (cause as { code?: string }).code ?? String(cause);
    throw fileError(path, `${explanations[code] ?? `the operating system refused (${code})`}`, { code }, cause);
  }
}

const explanations: Record<string, string> = {
  ENOENT: "must exist; there is no such file or folder; check the path",
  EACCES: "must be accessible; permission was denied; change its permissions",
  EISDIR: "must be a file; it is a folder; name a file in it",
  ENOSPC: "needs room on the disk; it is full; free some space",
};
