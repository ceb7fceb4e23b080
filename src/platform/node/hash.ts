import { createHash } from "node:crypto";
import type { ContentHash } from "../hub-store.ts";

/** Starts a running hash. */
export function contentHash(algorithm: "sha1" | "sha256"): ContentHash {
  const hash = createHash(algorithm);
  return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest("hex") };
}

/** SHA-256 (FIPS 180-4) of the parts, one after another: 32 bytes. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}
