import type { FileSet } from "./files.ts";

/**
 * A file's content, by the name that the hub gives it.
 *
 * Large files (git LFS) are named by the SHA-256 of their bytes, small ones by git:
 * SHA-1 of `"blob <byteLength>\0"` followed by the bytes.
 */
export interface HubBlob {
  readonly algorithm: "sha256" | "git-sha1";
  /** lower-case hexadecimal */
  readonly hash: string;
  readonly byteLength: number;
}

/** One file of a model at one commit. */
export interface HubFile {
  readonly path: string;
  readonly blob: HubBlob;
}

/** What a pull makes visible once every file is whole. */
export interface HubSnapshot {
  readonly commit: string;
  /** the branch or tag that led to the commit */
  readonly revision: string;
  readonly files: readonly HubFile[];
}

/**
 * A blob on its way into the store. It belongs to one download at a time, and keeps its bytes when that one fails.
 */
export interface PartialBlob {
  /** Bytes kept so far, from this download or an earlier one. */
  readonly byteLength: number;
  /** Reads the kept bytes from the start. */
  read(): AsyncIterable<Uint8Array>;
  /** Appends bytes; they may be reused by the caller afterwards. */
  write(bytes: Uint8Array): Promise<void>;
  /** Forgets the kept bytes. */
  reset(): Promise<void>;
  /** Turns the kept bytes into the blob in one step; the caller has checked them. */
  commit(): Promise<void>;
  /** Lets go of the blob; uncommitted bytes stay for a later download. */
  close(): Promise<void>;
}

/**
 * Where pulled models are kept: the folder shared with Python's `huggingface_hub` in Node, the Cache API in a browser.
 * `folder` is the model's name there: `models--ORG--NAME`.
 */
export interface HubStore {
  /** For messages: the folder or cache that holds everything. */
  readonly location: string;
  hasBlob(folder: string, blob: HubBlob): Promise<boolean>;
  readBlob(folder: string, blob: HubBlob): Promise<Uint8Array>;
  /** Waits while another download has this blob; gives undefined if that one completed it. */
  openPartial(folder: string, blob: HubBlob, signal?: AbortSignal): Promise<PartialBlob | undefined>;
  /** The commit that a revision led to when it was last pulled. */
  commitOf(folder: string, revision: string): Promise<string | undefined>;
  /** Files of a pulled commit, empty if there are none. */
  listSnapshot(folder: string, commit: string): Promise<string[]>;
  readSnapshotFile(folder: string, commit: string, path: string): Promise<Uint8Array>;
  /** Makes the files visible under the commit, then points the revision at it. */
  publish(folder: string, snapshot: HubSnapshot): Promise<void>;
  snapshotPath(folder: string, commit: string): string;
  openSnapshot(folder: string, commit: string): Promise<FileSet>;
}

/** What the surroundings say about the hub: environment variables in Node, nothing in a browser. */
export interface HubEnvironment {
  /** `HF_ENDPOINT` */
  readonly endpoint?: string;
  /** `HF_TOKEN` */
  readonly token?: string;
  /** `HF_HUB_OFFLINE` */
  readonly offline: boolean;
  /** Browsers hide redirects from scripts and drop the Authorization header themselves on leaving the origin. */
  readonly redirects: "manual" | "follow";
}

/** A running hash. */
export interface ContentHash {
  update(bytes: Uint8Array): void;
  /** lower-case hexadecimal; ends the hash */
  digest(): string;
}
