import { Random } from "../tensor/random.ts";
import type { Batch, BatchSource } from "./batch.ts";
import { checkSize, type TaskOptions } from "./task-options.ts";

/** Options of {@link inductionHeads}. */
export interface InductionHeadsOptions extends TaskOptions {
  /** Tokens of a row. */
  readonly length: number;
  /** Default 16. */
  readonly vocabSize?: number;
}

/**
 * Induction heads: recall what followed the trigger when it was last seen.
 *
 * A row is `length` tokens drawn uniformly from 0 to vocabSize - 2. The trigger, vocabSize - 1, is written at one place
 * drawn uniformly from 0 to length - 3, and as the last token. The token behind the first trigger is the answer; only
 * the last position is scored.
 *
 * @throws ConfigError if length is below 3 or vocabSize below 3
 * @see Gu & Dao 2023, section 4.1.2; Olsson et al. 2022, "In-context learning and induction heads"
 */
export function inductionHeads(options: InductionHeadsOptions): BatchSource {
  const { length, vocabSize = 16, batch, seed } = options;
  checkSize("inductionHeads", "length", length, 3);
  checkSize("inductionHeads", "vocabSize", vocabSize, 3);
  checkSize("inductionHeads", "batch", batch, 1);
  const trigger = vocabSize - 1;
  return {
    vocabSize,
    batch: (step): Batch => {
      const random = new Random(seed, step);
      const ids = Int32Array.from({ length: batch * length }, () => random.integer(trigger));
      const targets = new Int32Array(batch * length).fill(-1);
      for (let row = 0; row < batch; row++) {
        const start = row * length;
        const place = start + random.integer(length - 2);
        const last = start + length - 1;
        ids[place] = trigger;
        ids[last] = trigger;
        targets[last] = ids[place + 1]!;
      }
      return { ids, targets, batch, length };
    },
  };
}
