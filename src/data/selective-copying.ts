import { Random } from "../tensor/random.ts";
import type { Batch, BatchSource } from "./batch.ts";
import { checkSize, type TaskOptions } from "./task-options.ts";

/** Options of {@link selectiveCopying}. */
export interface SelectiveCopyingOptions extends TaskOptions {
  /** Slots of noise; a row has `length` + 2 `tokens` tokens. */
  readonly length: number;
  /** Tokens to remember; default 16. */
  readonly tokens?: number;
  /** Default 16: noise, the data tokens and the marker. */
  readonly vocabSize?: number;
}

/**
 * Selective copying: remember the tokens among noise, in order, and give them when asked.
 *
 * Noise is 0, data tokens are drawn uniformly from 1 to vocabSize - 2, the marker is vocabSize - 1. Of `length` + `tokens`
 * slots a uniformly drawn set of `tokens` holds the data in order, the others noise; then come `tokens` markers. The target
 * at marker i is data token i; nothing else is scored.
 *
 * @throws ConfigError if a size is too small
 * @see Gu & Dao 2023, section 4.1.1; the generator `copying` with `variable` of the S4 code
 */
export function selectiveCopying(options: SelectiveCopyingOptions): BatchSource {
  const { length, tokens = 16, vocabSize = 16, batch, seed } = options;
  checkSize("selectiveCopying", "length", length, 0);
  checkSize("selectiveCopying", "tokens", tokens, 1);
  checkSize("selectiveCopying", "vocabSize", vocabSize, 3);
  checkSize("selectiveCopying", "batch", batch, 1);
  const slots = length + tokens;
  const total = slots + tokens;
  return {
    vocabSize,
    batch: (step): Batch => {
      const random = new Random(seed, step);
      const ids = new Int32Array(batch * total);
      const targets = new Int32Array(batch * total).fill(-1);
      for (let row = 0; row < batch; row++) {
        drawnPlaces(random, slots, tokens).forEach((place, i) => {
          const token = 1 + random.integer(vocabSize - 2);
          ids[row * total + place] = token;
          ids[row * total + slots + i] = vocabSize - 1;
          targets[row * total + slots + i] = token;
        });
      }
      return { ids, targets, batch, length: total };
    },
  };
}

/** `count` different numbers below `bound` in order, every set equally likely (Floyd's method). */
export function drawnPlaces(random: Random, bound: number, count: number): number[] {
  const chosen = new Set<number>();
  for (let last = bound - count; last < bound; last++) {
    const place = random.integer(last + 1);
    chosen.add(chosen.has(place) ? last : place);
  }
  return [...chosen].sort((a, b) => a - b);
}
