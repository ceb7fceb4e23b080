import {
  copyFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative, resolve, sep } from "node:path";
import { HubError, MambaError } from "../../tensor/errors.ts";
import type { HubBlob, HubEnvironment, HubSnapshot, HubStore, PartialBlob } from "../hub-store.ts";
import { openFolder, writeFileAtomically } from "./files.ts";
import { takeLock } from "./hub-lock.ts";

/** Reads the environment variables that Python's `huggingface_hub` reads too. */
export function hubEnvironment(): HubEnvironment {
  const { HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE } = process.env;
  return {
    ...(HF_ENDPOINT ? { endpoint: HF_ENDPOINT } : {}),
    ...(HF_TOKEN ? { token: HF_TOKEN } : {}),
    offline: /^(1|true|yes|on)$/i.test(HF_HUB_OFFLINE ?? ""),
    redirects: "manual",
  };
}

/** The folder of all pulled models, by the rules of Python's `huggingface_hub`. */
export function defaultCacheDir(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env["HF_HUB_CACHE"]) return expandHome(env["HF_HUB_CACHE"]);
  if (env["HF_HOME"]) return join(expandHome(env["HF_HOME"]), "hub");
  return join(expandHome(env["XDG_CACHE_HOME"] || join("~", ".cache")), "huggingface", "hub");
}

function expandHome(path: string): string {
  return path === "~" || path.startsWith(`~${sep}`) || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

/** Makes a link `path` that leads to `target`, a relative path. */
export type MakeLink = (target: string, path: string) => Promise<void>;

/**
 * Opens the model cache that is shared with Python's `huggingface_hub`.
 *
 * @param cacheDir - default: {@link defaultCacheDir}
 * @param makeLink - stands in for `symlink`, which Windows refuses to ordinary users; files are copied where it fails
 */
export function openHubStore(cacheDir: string = defaultCacheDir(), makeLink: MakeLink = symlink): HubStore {
  const root = resolve(expandHome(cacheDir));
  const blobPath = (folder: string, blob: HubBlob) => join(root, folder, "blobs", blob.hash);
  const snapshotPath = (folder: string, commit: string) => join(root, folder, "snapshots", commit);
  return {
    location: root,
    snapshotPath,
    hasBlob: (folder, blob) => hasSize(blobPath(folder, blob), blob.byteLength),
    readBlob: (folder, blob) => onDisk(root, () => readFile(blobPath(folder, blob))),
    openPartial: (folder, blob, signal) => onDisk(root, () => openPartial(root, folder, blob, signal)),
    commitOf: (folder, revision) => readRef(join(root, folder, "refs", revision)),
    listSnapshot: (folder, commit) => listFiles(snapshotPath(folder, commit)),
    readSnapshotFile: (folder, commit, path) => onDisk(root, () => readFile(join(snapshotPath(folder, commit), path))),
    publish: (folder, snapshot) => onDisk(root, () => publish(join(root, folder), snapshot, makeLink)),
    openSnapshot: (folder, commit) => openFolder(snapshotPath(folder, commit)),
  };
}

/** A blob is only ever renamed into place when whole; another length means that somebody damaged it since. */
async function hasSize(path: string, byteLength: number): Promise<boolean> {
  const facts = await stat(path).catch(() => undefined);
  return facts?.isFile() === true && facts.size === byteLength;
}

async function readRef(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  return /^[0-9a-f]{40}$/.exec(text.trim())?.[0];
}

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true }).catch(() => []);
  const facts = await Promise.all(entries.map((entry) => stat(join(folder, entry)).catch(() => undefined)));
  const files = entries.filter((_, index) => facts[index]?.isFile());
  return files.map((file) => file.replaceAll(sep, "/")).sort();
}

async function openPartial(
  root: string,
  folder: string,
  blob: HubBlob,
  signal: AbortSignal | undefined,
): Promise<PartialBlob | undefined> {
  const target = join(root, folder, "blobs", blob.hash);
  const lock = join(root, ".locks", folder, `${blob.hash}.mamba.lock`);
  await Promise.all([target, lock].map((path) => mkdir(dirname(path), { recursive: true })));
  const isPointless = () => hasSize(target, blob.byteLength);
  const release = await takeLock(lock, { isPointless, ...(signal ? { signal } : {}) });
  if (!release) return undefined;
  try {
    if (!(await isPointless())) return await PartialFile.open(target, release);
  } catch (error) {
    await release();
    throw error;
  }
  await release();
  return undefined;
}

/** A blob's file while it is incomplete. */
class PartialFile implements PartialBlob {
  byteLength: number;
  readonly #path: string;
  readonly #target: string;
  readonly #handle: FileHandle;
  readonly #release: () => Promise<void>;

  private constructor(target: string, path: string, handle: FileHandle, size: number, release: () => Promise<void>) {
    this.#target = target;
    this.#path = path;
    this.#handle = handle;
    this.#release = release;
    this.byteLength = size;
  }

  static async open(target: string, release: () => Promise<void>): Promise<PartialFile> {
    // Not "HASH.incomplete": other libraries append to that one, under locks that Node can't see.
    const path = `${target}.mamba.incomplete`;
    // "a+" would ignore positions on Linux, and "r+" doesn't create.
    const handle = await open(path, "r+").catch(() => open(path, "wx+"));
    return new PartialFile(target, path, handle, (await handle.stat()).size, release);
  }

  async *read(): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(1 << 20);
    for (let at = 0; at < this.byteLength; ) {
      const size = Math.min(buffer.length, this.byteLength - at);
      const { bytesRead } = await onDisk(this.#path, () => this.#handle.read(buffer, 0, size, at));
      if (bytesRead === 0) throw new HubError(`hub: ${this.#path} must not change while it is read; it did; try again`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await onDisk(this.#path, () =>
        this.#handle.write(bytes, done, bytes.length - done, this.byteLength),
      );
      done += bytesWritten;
      this.byteLength += bytesWritten;
    }
  }

  async reset(): Promise<void> {
    await onDisk(this.#path, () => this.#handle.truncate(0));
    this.byteLength = 0;
  }

  async commit(): Promise<void> {
    await onDisk(this.#path, async () => {
      // The name must not reach the disk before the bytes do.
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#path, this.#target);
    });
  }

  async close(): Promise<void> {
    await this.#handle.close();
    // Nothing to go on from: leave no litter.
    if (await hasSize(this.#path, 0)) await rm(this.#path, { force: true });
    await this.#release();
  }
}

async function publish(folder: string, snapshot: HubSnapshot, makeLink: MakeLink): Promise<void> {
  for (const { path, blob } of snapshot.files) {
    const entry = join(folder, "snapshots", snapshot.commit, ...path.split("/"));
    await mkdir(dirname(entry), { recursive: true });
    await linkEntry(entry, join(folder, "blobs", blob.hash), makeLink);
  }
  if (snapshot.revision === snapshot.commit) return;
  const ref = join(folder, "refs", ...snapshot.revision.split("/"));
  await mkdir(dirname(ref), { recursive: true });
  await writeFileAtomically(ref, (write) => write(new TextEncoder().encode(snapshot.commit)));
}

/** Points a snapshot's file at its blob, in one step whatever stood there. */
async function linkEntry(entry: string, blob: string, makeLink: MakeLink): Promise<void> {
  const target = relative(dirname(entry), blob);
  if ((await readlink(entry).catch(() => undefined)) === target) return;
  const temporary = `${entry}.${crypto.randomUUID()}.tmp`;
  try {
    await makeLink(target, temporary).catch(() => copyFile(blob, temporary));
    await rename(temporary, entry);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function onDisk<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof MambaError) throw error;
    const code = (error as { code?: string }).code ?? String(error);
    const remedy = code === "ENOSPC" ? "the disk is full: free some space" : "check its permissions";
    throw new HubError(
      `hub: the cache ${path} must be writable; the system refused (${code}); ${remedy}, or choose another folder ` +
        "with cacheDir or HF_HUB_CACHE",
      { path, code },
      { cause: error },
    );
  }
}
