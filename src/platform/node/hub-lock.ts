import { open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { pause } from "../pause.ts";

/** How a lock is waited for. */
export interface LockOptions {
  readonly signal?: AbortSignal;
  /** A lock whose owner hasn't shown life for so long is taken over; default 60,000 ms. */
  readonly staleMs?: number;
  /** Time between looks at a lock that is taken; default 100 ms. */
  readonly pollMs?: number;
  /** Called before every wait; may end it by returning true. */
  readonly isPointless?: () => Promise<boolean>;
}

interface Owner {
  readonly host: string;
  readonly pid: number;
  readonly token: string;
}

/**
 * Takes a lock file, waiting while another download of this or another process holds it.
 *
 * The file is created exclusively and touched while it is held. A lock is taken over when its process is gone from this
 * machine, or when it hasn't been touched for `staleMs`. (Node can't take the `flock` locks of Python's
 * `huggingface_hub`, so the two keep their unfinished files apart instead.)
 *
 * @returns a function that gives the lock back, or undefined if `isPointless` said so
 * @throws AbortError if the signal fired while waiting
 */
export async function takeLock(path: string, options: LockOptions = {}): Promise<(() => Promise<void>) | undefined> {
  const { signal, staleMs = 60_000, pollMs = 100, isPointless } = options;
  const owner: Owner = { host: hostname(), pid: process.pid, token: crypto.randomUUID() };
  while (!(await create(path, owner))) {
    if (await isPointless?.()) return undefined;
    if (!(await removeStale(path, staleMs))) await pause(pollMs, signal, "hub: another download of this file");
  }
  const beat = setInterval(() => touch(path), staleMs / 4);
  beat.unref();
  return async () => {
    clearInterval(beat);
    // Somebody may have judged this process dead, for instance while the machine slept.
    if ((await readOwner(path))?.token === owner.token) await rm(path, { force: true });
  };
}

async function create(path: string, owner: Owner): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    try {
      await handle.writeFile(JSON.stringify(owner));
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST") return false;
    throw error;
  }
}

async function removeStale(path: string, staleMs: number): Promise<boolean> {
  const owner = await readOwner(path);
  if (!(await isStale(path, owner, staleMs))) return false;
  // Two waiters may come to this line together. Only one can rename the file, and whoever gets hold of a newer lock
  // than the one it judged puts that back.
  const aside = `${path}.${crypto.randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return true;
  }
  const moved = await readOwner(aside);
  if (moved && moved.token !== owner?.token) await rename(aside, path);
  else await rm(aside, { force: true });
  return true;
}

async function isStale(path: string, owner: Owner | undefined, staleMs: number): Promise<boolean> {
  if (owner?.host === hostname() && !isAlive(owner.pid)) return true;
  try {
    return Date.now() - (await stat(path)).mtimeMs > staleMs;
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EPERM";
  }
}

async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    const owner = JSON.parse(await readFile(path, "utf8"));
    return typeof owner?.token === "string" && Number.isInteger(owner.pid) && owner.pid > 0 ? owner : undefined;
  } catch {
    return undefined;
  }
}

function touch(path: string): void {
  const now = new Date();
  utimes(path, now, now).catch(() => {});
}
