import { MambaError } from "../tensor/errors.ts";

/** Bytes that can be read by range: a file, a web resource, memory. */
export interface ByteSource {
  /** What error messages call it. */
  readonly name: string;
  readonly byteLength: number;
  /**
   * The bytes from `start` up to, not including, `end`, in an array of the caller's own that begins at offset 0 of its
   * buffer. Reads may overlap in time.
   */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** Named files: a folder, a model on a hub, memory. Names are relative, with forward slashes. */
export interface FileSet {
  readonly name: string;
  /** The names that can be listed, sorted; a web server lists none. */
  list(): Promise<string[]>;
  has(file: string): Promise<boolean>;
  open(file: string): Promise<ByteSource>;
}

/** Passes bytes on, in order. */
export type WriteBytes = (bytes: Uint8Array) => Promise<void>;

/** An error of the file system or of a web server, with the code `FILE`. */
export function fileError(name: string, problem: string, facts: Record<string, unknown>, cause?: unknown): MambaError {
  return new MambaError(`file ${name}: ${problem}`, "FILE", { file: name, ...facts }, { cause });
}

/** Throws unless `start` to `end` lies within a source of `byteLength` bytes. */
export function checkRange(name: string, byteLength: number, start: number, end: number): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= byteLength)
    return;
  throw fileError(name, `bytes ${start} to ${end} must lie within its ${byteLength} bytes; the file may be truncated`, {
    start,
    end,
    byteLength,
  });
}

/** Throws if a file name is absolute or climbs out of its folder. */
export function checkFileName(name: string): void {
  const inside = name !== "" && !/^[/\\]|[\\:\0]/.test(name) && name.split("/").every((part) => part && part !== "..");
  if (inside) return;
  throw fileError(JSON.stringify(name), "its name must be relative and stay in its folder; give a plain file name", {});
}

/** Whether a file's name says that it holds weights. */
export function isWeightsName(name: string): boolean {
  return /\.(?:safetensors|bin|pt|pth|gguf)$/.test(name);
}

/** A folder in which `weights` are the only weights: whoever names one file means that one. */
export function onlyWeights(folder: FileSet, weights: string): FileSet {
  const isHidden = (file: string): boolean => file !== weights && isWeightsName(file.replace(/\.index\.json$/, ""));
  return {
    name: folder.name,
    list: async () => [...new Set([...(await folder.list()), weights])].filter((file) => !isHidden(file)).sort(),
    has: async (file) => !isHidden(file) && folder.has(file),
    open: (file) => folder.open(file),
  };
}
