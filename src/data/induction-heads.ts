import { Random } from "../tensor/random.ts";
import type { Batch, BatchSource } from "./batch.ts";
import { drawnPlaces } from "./selective-copying.ts";
import { checkSize, type TaskOptions } from "./task-options.ts";

/** Options of {@link inductionHeads}. */
export interface InductionHeadsOptions extends TaskOptions {
  /** Tokens of a row. */
  readonly length: number;
  /** Default 16. */
  readonly vocabSize?: number;
  /** Most questions of a row; default 1. */
  readonly queries?: number;
  /** The step from which rows ask one question; default never. */
  readonly queriesUntil?: number | undefined;
}

/**
 * Induction heads: recall what followed the trigger when it was last seen.
 *
 * A row is `length` tokens drawn uniformly from 0 to vocabSize - 2. It asks q questions, drawn uniformly from 1 to `queries`.
 * The trigger, vocabSize - 1, is written as the last token and at q places before it, of which no two are adjacent: every
 * such set among 0 to length - 3 is equally likely. The token behind the first trigger is the answer, and it is written
 * behind the others too. Scored are the triggers but the first, so with one question only the last position.
 *
 * Questions inside a row shorten the way from answer to question: training leaves the plateau where only the
 * distribution of answers is known much sooner. From step `queriesUntil` on every row asks once, at the end.
 *
 * @throws ConfigError if length is below 2 queries + 1 or vocabSize below 3
 * @see Gu & Dao 2023, section 4.1.2; Olsson et al. 2022, "In-context learning and induction heads"
 */
export function inductionHeads(options: InductionHeadsOptions): BatchSource {
  const { length, vocabSize = 16, queries = 1, queriesUntil = Number.POSITIVE_INFINITY, batch, seed } = options;
  checkSize("inductionHeads", "queries", queries, 1);
  checkSize("inductionHeads", "length", length, 2 * queries + 1);
  checkSize("inductionHeads", "vocabSize", vocabSize, 3);
  checkSize("inductionHeads", "batch", batch, 1);
  const trigger = vocabSize - 1;
  return {
    vocabSize,
    batch: (step): Batch => {
      const random = new Random(seed, step);
      const ids = Int32Array.from({ length: batch * length }, () => random.integer(trigger));
      const targets = new Int32Array(batch * length).fill(-1);
      const most = step < queriesUntil ? queries : 1;
      for (let row = 0; row < batch; row++) {
        const own = ids.subarray(row * length, (row + 1) * length);
        const places = triggerPlaces(random, length, 1 + random.integer(most));
        const answer = own[places[0]! + 1]!;
        places.forEach((place, i) => {
          own[place] = trigger;
          if (place + 1 < length) own[place + 1] = answer;
          if (i > 0) targets[row * length + place] = answer;
        });
      }
      return { ids, targets, batch, length };
    },
  };
}

/** In order: `count` places below length - 2 with a space after each, and the last place of the row. */
function triggerPlaces(random: Random, length: number, count: number): number[] {
  // sets of places that are not adjacent are sets of any places among count - 1 fewer
  const spaced = drawnPlaces(random, length - 1 - count, count).map((place, i) => place + i);
  return [...spaced, length - 1];
}
