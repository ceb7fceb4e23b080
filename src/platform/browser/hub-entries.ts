import { HubError, MambaError } from "../../tensor/errors.ts";

/** Values by key, as the Cache API keeps them. */
export interface Entries {
  read(key: string): Promise<Blob | undefined>;
  write(key: string, bytes: Uint8Array<ArrayBuffer> | string): Promise<void>;
  /** Removes every key that begins with `prefix`. */
  removeAll(prefix: string): Promise<void>;
}

/** Keys of a cache must be addresses; this one leads nowhere. */
const BASE = "https://hub.invalid/";

/**
 * Opens the browser's cache of this name, or memory where the page has none: without HTTPS, or in some private windows.
 */
export async function openEntries(name: string): Promise<Entries> {
  try {
    return cacheEntries(await caches.open(name));
  } catch {
    return memoryEntries();
  }
}

function cacheEntries(cache: Cache): Entries {
  const address = (key: string) => BASE + key.split("/").map(encodeURIComponent).join("/");
  return {
    read: async (key) => (await cache.match(address(key)))?.blob(),
    write: (key, bytes) => refusing(cache.put(address(key), new Response(bytes))),
    async removeAll(prefix) {
      const found = (await cache.keys()).filter(({ url }) => url.startsWith(address(prefix)));
      await Promise.all(found.map((request) => cache.delete(request)));
    },
  };
}

/** Entries that are gone when the page is. */
export function memoryEntries(): Entries {
  const values = new Map<string, Blob>();
  return {
    read: async (key) => values.get(key),
    write: async (key, bytes) => void values.set(key, new Blob([bytes])),
    async removeAll(prefix) {
      for (const key of [...values.keys()]) if (key.startsWith(prefix)) values.delete(key);
    },
  };
}

async function refusing(writing: Promise<void>): Promise<void> {
  try {
    await writing;
  } catch (cause) {
    if (cause instanceof MambaError) throw cause;
    throw new HubError(
      `hub: the browser must have room for the model; it refused to store more (${(cause as Error).name}); ` +
        "free some site data, or leave private browsing",
      {},
      { cause },
    );
  }
}
