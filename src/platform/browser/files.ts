import { type ByteSource, type FileSet, fileError, isWeightsName, onlyWeights, type WriteBytes } from "../files.ts";
import { openUrlFolder, openUrlSource } from "../url-source.ts";

/** Opens a file for reading by range. In a browser a path is an address relative to the page. */
export async function openFileSource(path: string): Promise<ByteSource> {
  return openUrlSource(resolve(path));
}

/**
 * The files of a folder, or a single weights file with what lies beside it. In a browser a path is an address relative
 * to the page, and only the weights file can be listed.
 */
export async function openFolder(path: string): Promise<FileSet> {
  const address = resolve(path);
  if (!isWeightsName(address)) return openUrlFolder(address);
  return onlyWeights(
    openUrlFolder(new URL(".", address)),
    decodeURIComponent(new URL(address).pathname.split("/").pop()!),
  );
}

/** Where a model lies on this machine. A browser has no file system to ask: always undefined. */
export async function findModelPath(_source: string): Promise<string | undefined> {
  return undefined;
}

/** Whether a path names a file, a folder or nothing. A browser has no file system to ask: always nothing. */
export async function pathKind(_path: string): Promise<"file" | "folder" | undefined> {
  return undefined;
}

/** Removes what a killed process left half written. A browser writes no files by path: nothing. */
export async function removeTemporaries(_folder: string): Promise<void> {}

/** Refuses: a browser cannot write a file by its path. */
export async function writeFileAtomically(path: string, _fill: (write: WriteBytes) => Promise<void>): Promise<void> {
  throw fileError(
    path,
    "a browser cannot write files by path; encode to bytes instead, and offer them as a download or keep them in OPFS",
    {},
  );
}

function resolve(path: string): string {
  try {
    return new URL(path, globalThis.location?.href).href;
  } catch (cause) {
    throw fileError(path, "must be an address here, as there is no page to be relative to; give a full URL", {}, cause);
  }
}
