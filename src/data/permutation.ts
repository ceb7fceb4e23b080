import { philox4x32, seedWords, type Words4 } from "../tensor/random.ts";

/** Random's counters end in 0; these end in words of their own, so that no number is drawn twice. */
const ORDER = 1;
const OFFSET = 2;
/** Four rounds are a pseudorandom permutation in theory; small ranges want more to reach all orders evenly. */
const ROUNDS = 8;

/** Which order: each seed and epoch has its own. */
export interface Shuffle {
  /** Non-negative integer below 2^53. */
  readonly seed: number;
  /** Below 2^32. */
  readonly epoch: number;
}

/**
 * Where a random permutation of 0 to `size` - 1 takes `index`, without storing the permutation: a Feistel network over
 * pairs (row, column) of a rectangle that is at most ceil(sqrt(size)) - 1 larger than `size`, walked until it comes out
 * below `size`.
 *
 * @param size - at most 2^53
 * @see Black and Rogaway 2002, "Ciphers with arbitrary finite domains", methods 2 (cycle walking) and 3 (generalized Feistel)
 */
export function permuted(index: number, size: number, { seed, epoch }: Shuffle): number {
  const rows = Math.ceil(Math.sqrt(size));
  const columns = Math.ceil(size / rows);
  const key = seedWords(seed);
  const word = (round: number, half: number): number => philox4x32([half, round, epoch, ORDER] as Words4, key)[0];
  let at = index;
  do {
    let row = Math.floor(at / columns);
    let column = at % columns;
    for (let round = 0; round < ROUNDS; round += 2) {
      row = (row + word(round, column)) % rows;
      column = (column + word(round + 1, row)) % columns;
    }
    at = row * columns + column;
  } while (at >= size);
  return at;
}

/** A number from 0 to `bound` - 1 of this seed and epoch. */
export function drawnOffset(bound: number, { seed, epoch }: Shuffle): number {
  const [high, low] = philox4x32([0, 0, epoch, OFFSET], seedWords(seed));
  return Math.floor((high * 2 ** 20 + (low >>> 12)) * 2 ** -52 * bound);
}
