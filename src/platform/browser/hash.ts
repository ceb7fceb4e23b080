import type { ContentHash } from "../hub-store.ts";

// crypto.subtle wants all bytes at once and a secure page; a download of gigabytes needs a hash that runs along.

const BLOCK = 64;
const SHA1_START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
const SHA1_ROUNDS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6];
const SHA256_START = rootFractions(8, Math.sqrt);
const SHA256_ROUNDS = rootFractions(64, Math.cbrt);

/** Starts a running hash: FIPS 180-4, sections 6.1 (SHA-1) and 6.2 (SHA-256). */
export function contentHash(algorithm: "sha1" | "sha256"): ContentHash {
  return algorithm === "sha1" ? new BlockHash(SHA1_START, 80, mixSha1) : new BlockHash(SHA256_START, 64, mixSha256);
}

/** SHA-256 (FIPS 180-4) of the parts, one after another: 32 bytes. */
export async function sha256(...parts: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const hash = contentHash("sha256");
  for (const part of parts) hash.update(part);
  return Uint8Array.from(hash.digest().match(/../g)!, (byte) => Number.parseInt(byte, 16));
}

/** Mixes a block, the first 16 words of `schedule`, into `state`. */
type Mix = (state: Int32Array, schedule: Int32Array) => void;

class BlockHash implements ContentHash {
  readonly #state: Int32Array;
  readonly #schedule: Int32Array;
  readonly #mix: Mix;
  readonly #block = new Uint8Array(BLOCK);
  #byteLength = 0;

  constructor(start: readonly number[], rounds: number, mix: Mix) {
    this.#state = Int32Array.from(start);
    this.#schedule = new Int32Array(rounds);
    this.#mix = mix;
  }

  update(bytes: Uint8Array): void {
    const begun = this.#byteLength % BLOCK;
    this.#byteLength += bytes.length;
    let at = 0;
    if (begun > 0) {
      at = Math.min(BLOCK - begun, bytes.length);
      this.#block.set(bytes.subarray(0, at), begun);
      if (begun + at < BLOCK) return;
      this.#mixBlock(new DataView(this.#block.buffer), 0);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (; at + BLOCK <= bytes.length; at += BLOCK) this.#mixBlock(view, at);
    this.#block.set(bytes.subarray(at));
  }

  #mixBlock(view: DataView, offset: number): void {
    for (let i = 0; i < 16; i += 1) this.#schedule[i] = view.getInt32(offset + 4 * i);
    this.#mix(this.#state, this.#schedule);
  }

  /** Pads with a one bit, zeros and the length in bits as 64-bit number, to whole blocks. */
  digest(): string {
    const bits = this.#byteLength * 8;
    const padding = new Uint8Array(9 + ((BLOCK - ((this.#byteLength + 9) % BLOCK)) % BLOCK));
    const view = new DataView(padding.buffer);
    view.setUint8(0, 0x80);
    view.setUint32(padding.length - 8, Math.floor(bits / 2 ** 32));
    view.setUint32(padding.length - 4, bits % 2 ** 32);
    this.update(padding);
    return Array.from(this.#state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}

function mixSha1(state: Int32Array, w: Int32Array): void {
  for (let i = 16; i < 80; i += 1) w[i] = rotateLeft(w[i - 3]! ^ w[i - 8]! ^ w[i - 14]! ^ w[i - 16]!, 1);
  let [a, b, c, d, e] = state as unknown as [number, number, number, number, number];
  for (let i = 0; i < 80; i += 1) {
    const quarter = Math.floor(i / 20);
    const choice = quarter === 0 ? (b & c) ^ (~b & d) : quarter === 2 ? (b & c) ^ (b & d) ^ (c & d) : b ^ c ^ d;
    const next = (rotateLeft(a, 5) + choice + e + SHA1_ROUNDS[quarter]! + w[i]!) | 0;
    e = d;
    d = c;
    c = rotateLeft(b, 30);
    b = a;
    a = next;
  }
  add(state, [a, b, c, d, e]);
}

function mixSha256(state: Int32Array, w: Int32Array): void {
  for (let i = 16; i < 64; i += 1) {
    const near = w[i - 15]!;
    const far = w[i - 2]!;
    const small0 = rotateLeft(near, 25) ^ rotateLeft(near, 14) ^ (near >>> 3);
    const small1 = rotateLeft(far, 15) ^ rotateLeft(far, 13) ^ (far >>> 10);
    w[i] = w[i - 16]! + small0 + w[i - 7]! + small1;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i += 1) {
    const big1 = rotateLeft(e, 26) ^ rotateLeft(e, 21) ^ rotateLeft(e, 7);
    const big0 = rotateLeft(a, 30) ^ rotateLeft(a, 19) ^ rotateLeft(a, 10);
    const first = (h + big1 + ((e & f) ^ (~e & g)) + SHA256_ROUNDS[i]! + w[i]!) | 0;
    const second = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  add(state, [a, b, c, d, e, f, g, h]);
}

function add(state: Int32Array, words: readonly number[]): void {
  for (let i = 0; i < words.length; i += 1) state[i] = state[i]! + words[i]!;
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

/** The first 32 bits of the fractional parts of the roots of the first `count` primes. */
function rootFractions(count: number, root: (x: number) => number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n += 1) if (primes.every((p) => n % p !== 0)) primes.push(n);
  return primes.map((prime) => Math.floor((root(prime) % 1) * 2 ** 32));
}
