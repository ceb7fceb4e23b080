const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;

/** Four 32-bit words. */
export type Words4 = [number, number, number, number];

function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16);
  const carried = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carried / 65536)) >>> 0;
}

/**
 * Philox4x32-10: ten rounds of a keyed bijection of a 128-bit counter.
 *
 * @param counter - four words
 * @param key - two words
 * @returns four random words, the same on every backend
 * @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3
 */
export function philox4x32(counter: Readonly<Words4>, key: readonly [number, number]): Words4 {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** The two key words of a seed: a non-negative integer below 2^64. */
export function seedWords(seed: number | bigint): [number, number] {
  const wide = BigInt.asUintN(64, BigInt(seed));
  return [Number(wide & 0xffffffffn), Number(wide >> 32n)];
}

/**
 * A stream of random numbers that can be entered anywhere.
 *
 * The 128-bit Philox counter is (block low, block high, stream, 0) and the key is the seed; each block gives
 * four words, so word `i` of a stream is lane `i % 4` of block `floor(i / 4)`.
 */
export class Random {
  readonly #key: [number, number];
  readonly #stream: number;
  #counter: number;
  #block: Words4 = [0, 0, 0, 0];
  #blockIndex = -1;

  /**
   * @param seed - non-negative integer below 2^64
   * @param stream - independent streams of one seed, below 2^32
   * @param counter - index of the next word
   */
  constructor(seed: number | bigint, stream = 0, counter = 0) {
    this.#key = seedWords(seed);
    this.#stream = stream >>> 0;
    this.#counter = counter;
  }

  /** Index of the next word; give it to the constructor to go on from here. */
  get counter(): number {
    return this.#counter;
  }

  /** The next 32 random bits. */
  word(): number {
    const index = Math.floor(this.#counter / 4);
    if (index !== this.#blockIndex) {
      this.#block = philox4x32([index >>> 0, Math.floor(index / 2 ** 32) >>> 0, this.#stream, 0], this.#key);
      this.#blockIndex = index;
    }
    return this.#block[this.#counter++ % 4]!;
  }

  /** Uniform in [0, 1), a multiple of 2^-24, bit-equal on every backend. */
  uniform(): number {
    return (this.word() >>> 8) * 2 ** -24;
  }

  /** Standard normal, by Box and Muller's method in float64; uses two words. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(((this.word() >>> 0) + 1) * 2 ** -32));
    return radius * Math.cos(2 * Math.PI * this.word() * 2 ** -32);
  }

  /** Uniform among 0 to `bound` - 1. */
  integer(bound: number): number {
    return Math.floor(this.word() * 2 ** -32 * bound);
  }

  uniforms(count: number): Float32Array {
    return Float32Array.from({ length: count }, () => this.uniform());
  }

  normals(count: number): Float64Array {
    return Float64Array.from({ length: count }, () => this.normal());
  }
}
