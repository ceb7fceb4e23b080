import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HubOptions, type PulledModel, pullModel } from "../../src/checkpoints/hub.ts";
import { type FakeHub, startFakeHub } from "./fake-hub.ts";

/** A fake hub and an empty cache folder for one test. */
export interface HubSession {
  readonly hub: FakeHub;
  readonly cacheDir: string;
  /** Pulls with short patience, against the fake hub, into the folder. */
  pull(id: string, options?: HubOptions): Promise<PulledModel>;
  /** Every file and link in the cache folder, sorted, lock files and folders left out. */
  cacheEntries(): Promise<string[]>;
  /** Ends the hub and removes the folder. */
  close(): Promise<void>;
}

/** Starts a fake hub and makes an empty cache folder. */
export async function startHubSession(): Promise<HubSession> {
  const hub = await startFakeHub();
  const parent = await mkdtemp(join(tmpdir(), "hub-session-"));
  const cacheDir = join(parent, "hub");
  const options: HubOptions = {
    endpoint: hub.url,
    cacheDir,
    token: "",
    localFilesOnly: false,
    stallTimeoutMs: 100,
    retryDelayMs: 1,
    retries: 2,
  };
  return {
    hub,
    cacheDir,
    pull: (id, own = {}) => pullModel(id, { ...options, ...own }),
    cacheEntries: () => listEntries(parent),
    async close() {
      await hub.stop();
      await rm(parent, { recursive: true, force: true });
    },
  };
}

async function listEntries(parent: string): Promise<string[]> {
  const entries = await readdir(parent, { recursive: true, withFileTypes: true });
  const names = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  return names.map((name) => name.slice(parent.length + 1).replace(/^hub\//, "")).sort();
}

/** Bytes that no compression or pattern explains, the same on every run. */
export function noise(byteLength: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let state = seed;
  for (let i = 0; i < byteLength; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** The smallest model that a pull accepts, with its weights in large-file storage. */
export function tinyModel(weights: Uint8Array = noise(300_000)): Record<string, string | Uint8Array> {
  return { "config.json": '{"model_type":"mamba"}', "tokenizer.json": "{}", "model.safetensors": weights };
}
