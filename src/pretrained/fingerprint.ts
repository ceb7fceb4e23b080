import { sha256 } from "#platform";
import type { MambaConfig } from "../models/index.ts";
import type { TypedArray } from "../tensor/dtype.ts";

const END_BYTES = 65536;

/**
 * Identifies a model: SHA-256 over its configuration and the first and last 64 KiB of every tensor as stored.
 *
 * Hashing only the ends keeps it to milliseconds for any size, and still tells fine-tuned weights apart.
 */
export class Fingerprint {
  readonly #config: MambaConfig;
  readonly #digests = new Map<string, Uint8Array>();

  constructor(config: MambaConfig) {
    this.#config = config;
  }

  /** Takes a tensor in; the order of calls does not matter. */
  async add(name: string, data: TypedArray): Promise<void> {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    const tail = bytes.subarray(Math.max(END_BYTES, bytes.length - END_BYTES));
    this.#digests.set(name, await sha256(concatBytes([bytes.subarray(0, END_BYTES), tail])));
  }

  /** The fingerprint of everything taken in, in hex. */
  async hex(): Promise<string> {
    const parts = [new TextEncoder().encode(JSON.stringify(sortedEntries(this.#config)))];
    for (const name of [...this.#digests.keys()].sort()) {
      parts.push(new TextEncoder().encode(`\n${name}\n`), this.#digests.get(name)! as Uint8Array<ArrayBuffer>);
    }
    const digest = await sha256(concatBytes(parts));
    return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

function sortedEntries(record: object): [string, unknown][] {
  return Object.entries(record)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => [key, isRecord(value) ? sortedEntries(value) : value]);
}

function isRecord(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
