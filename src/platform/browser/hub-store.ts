import { AbortError, HubError } from "../../tensor/errors.ts";
import { type ByteSource, checkFileName, checkRange, type FileSet, fileError } from "../files.ts";
import type { HubBlob, HubEnvironment, HubFile, HubSnapshot, HubStore, PartialBlob } from "../hub-store.ts";
import { type Entries, openEntries } from "./hub-entries.ts";

/** A page has no environment variables. */
export function hubEnvironment(): HubEnvironment {
  return { offline: false, redirects: "follow" };
}

/** A blob is kept in parts of this size, so that a download can go on where it stopped and memory stays small. */
const PART_BYTES = 8 << 20;

/**
 * Opens the model cache of this page's origin, laid out like the one on disk:
 * `FOLDER/blobs/HASH/0, 1, ...`, `FOLDER/snapshots/COMMIT`, `FOLDER/refs/REVISION`.
 *
 * @param cacheDir - name of the cache; default `mamba.ts hub`
 * @param entries - stands in for the Cache API
 */
export function openHubStore(cacheDir = "mamba.ts hub", entries: Promise<Entries> = openEntries(cacheDir)): HubStore {
  const list = async (folder: string, commit: string) => readFiles(await entries, `${folder}/snapshots/${commit}`);
  return {
    location: `the browser's cache "${cacheDir}"`,
    snapshotPath: (folder, commit) => `${cacheDir}/${folder}/snapshots/${commit}`,
    hasBlob: async (folder, blob) => isWhole(await entries, blobKey(folder, blob), blob),
    readBlob: async (folder, blob) => readAll(await entries, blobKey(folder, blob), blob),
    openPartial: async (folder, blob, signal) => openPartial(await entries, blobKey(folder, blob), blob, signal),
    commitOf: async (folder, revision) => (await entries).read(`${folder}/refs/${revision}`).then((ref) => ref?.text()),
    listSnapshot: async (folder, commit) => (await list(folder, commit)).map((file) => file.path).sort(),
    async readSnapshotFile(folder, commit, path) {
      const { blob } = find(await list(folder, commit), path);
      return readAll(await entries, blobKey(folder, blob), blob);
    },
    publish: async (folder, snapshot) => publish(await entries, folder, snapshot),
    async openSnapshot(folder, commit) {
      return snapshotFiles(await entries, `${cacheDir}/${folder}`, folder, await list(folder, commit));
    },
  };
}

function blobKey(folder: string, blob: HubBlob): string {
  return `${folder}/blobs/${blob.hash}`;
}

async function isWhole(entries: Entries, key: string, blob: HubBlob): Promise<boolean> {
  return (await (await entries.read(`${key}/whole`))?.text()) === String(blob.byteLength);
}

async function readFiles(entries: Entries, key: string): Promise<HubFile[]> {
  const text = await (await entries.read(key))?.text();
  return text === undefined ? [] : JSON.parse(text);
}

function find(files: readonly HubFile[], path: string): HubFile {
  const file = files.find((candidate) => candidate.path === path);
  if (file) return file;
  throw fileError(path, "must be one of the model's files; it is not; see list()", {});
}

async function publish(entries: Entries, folder: string, { commit, revision, files }: HubSnapshot): Promise<void> {
  const key = `${folder}/snapshots/${commit}`;
  const all = new Map([...(await readFiles(entries, key)), ...files].map((file) => [file.path, file]));
  await entries.write(key, JSON.stringify([...all.values()]));
  if (revision !== commit) await entries.write(`${folder}/refs/${revision}`, commit);
}

async function openPartial(
  entries: Entries,
  key: string,
  blob: HubBlob,
  signal: AbortSignal | undefined,
): Promise<PartialBlob | undefined> {
  const release = await takeLock(`mamba.ts ${key}`, signal);
  try {
    if (!(await isWhole(entries, key, blob))) return await PartialParts.open(entries, key, blob, release);
  } catch (error) {
    release();
    throw error;
  }
  release();
  return undefined;
}

/** Keeps other tabs off a blob. Without Web Locks two tabs would do the same work twice, and write the same bytes. */
async function takeLock(name: string, signal: AbortSignal | undefined): Promise<() => void> {
  const locks = globalThis.navigator?.locks;
  if (!locks) return () => {};
  try {
    return await new Promise((resolve, reject) => {
      const hold = () => new Promise<void>((release) => resolve(release));
      locks.request(name, signal ? { signal } : {}, hold).catch(reject);
    });
  } catch (cause) {
    if (!signal?.aborted) throw cause;
    throw new AbortError(
      "hub: another tab's download of this file: aborted by the caller while waiting",
      {},
      { cause },
    );
  }
}

/** A blob in parts while it is incomplete. */
class PartialParts implements PartialBlob {
  byteLength = 0;
  readonly #entries: Entries;
  readonly #key: string;
  readonly #blob: HubBlob;
  readonly #release: () => void;
  /** the last, unfinished part */
  readonly #tail: Uint8Array<ArrayBuffer>;
  #committed = false;

  private constructor(entries: Entries, key: string, blob: HubBlob, release: () => void) {
    this.#entries = entries;
    this.#key = key;
    this.#blob = blob;
    this.#release = release;
    this.#tail = new Uint8Array(Math.min(PART_BYTES, blob.byteLength));
  }

  static async open(entries: Entries, key: string, blob: HubBlob, release: () => void): Promise<PartialParts> {
    const partial = new PartialParts(entries, key, blob, release);
    for (let index = 0; ; index += 1) {
      const part = await entries.read(`${key}/${index}`);
      if (!part) return partial;
      partial.byteLength += part.size;
      if (part.size === PART_BYTES) continue;
      partial.#tail.set(new Uint8Array(await part.arrayBuffer()).subarray(0, partial.#tail.length));
      return partial;
    }
  }

  async *read(): AsyncGenerator<Uint8Array> {
    const whole = Math.floor(this.byteLength / PART_BYTES);
    for (let index = 0; index < whole; index += 1) yield readPart(this.#entries, this.#key, index);
    yield this.#tail.subarray(0, this.byteLength % PART_BYTES);
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const filled = this.byteLength % PART_BYTES;
      const piece = bytes.subarray(at, at + PART_BYTES - filled);
      this.#tail.set(piece, filled);
      at += piece.length;
      this.byteLength += piece.length;
      if (this.byteLength % PART_BYTES === 0) await this.#keep(this.byteLength / PART_BYTES - 1, PART_BYTES);
    }
  }

  #keep(index: number, size: number): Promise<void> {
    return this.#entries.write(`${this.#key}/${index}`, this.#tail.slice(0, size));
  }

  async #keepTail(): Promise<void> {
    const size = this.byteLength % PART_BYTES;
    if (size > 0) await this.#keep(Math.floor(this.byteLength / PART_BYTES), size);
  }

  async reset(): Promise<void> {
    this.byteLength = 0;
    await this.#entries.removeAll(`${this.#key}/`);
  }

  async commit(): Promise<void> {
    await this.#keepTail();
    await this.#entries.write(`${this.#key}/whole`, String(this.#blob.byteLength));
    this.#committed = true;
  }

  async close(): Promise<void> {
    try {
      if (!this.#committed) await this.#keepTail();
    } finally {
      this.#release();
    }
  }
}

async function readPart(entries: Entries, key: string, index: number): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await (await partOf(entries, key, index)).arrayBuffer());
}

async function partOf(entries: Entries, key: string, index: number): Promise<Blob> {
  const part = await entries.read(`${key}/${index}`);
  if (part) return part;
  throw damaged(key, index);
}

function damaged(key: string, index: number): HubError {
  return new HubError(
    `hub: ${key} must be whole in the browser's cache; part ${index} is gone; clear the site's data`,
    {
      key,
    },
  );
}

async function readAll(entries: Entries, key: string, blob: HubBlob): Promise<Uint8Array<ArrayBuffer>> {
  return readRange(entries, key, 0, blob.byteLength);
}

async function readRange(entries: Entries, key: string, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(end - start);
  for (let at = start; at < end; ) {
    const index = Math.floor(at / PART_BYTES);
    const from = at - index * PART_BYTES;
    const piece = (await partOf(entries, key, index)).slice(from, Math.min(PART_BYTES, from + end - at));
    if (piece.size === 0) throw damaged(key, index);
    bytes.set(new Uint8Array(await piece.arrayBuffer()), at - start);
    at += piece.size;
  }
  return bytes;
}

function snapshotFiles(entries: Entries, name: string, folder: string, files: readonly HubFile[]): FileSet {
  return {
    name,
    list: async () => files.map((file) => file.path).sort(),
    async has(path) {
      checkFileName(path);
      return files.some((file) => file.path === path);
    },
    async open(path): Promise<ByteSource> {
      checkFileName(path);
      const { blob } = find(files, path);
      return {
        name: `${name}/${path}`,
        byteLength: blob.byteLength,
        async read(start, end) {
          checkRange(path, blob.byteLength, start, end);
          return readRange(entries, blobKey(folder, blob), start, end);
        },
        async close() {},
      };
    },
  };
}
