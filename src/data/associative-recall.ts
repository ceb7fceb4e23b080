import { ConfigError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import type { Batch, BatchSource } from "./batch.ts";
import { drawnPlaces } from "./selective-copying.ts";
import { checkSize, type TaskOptions } from "./task-options.ts";

/** Options of {@link associativeRecall}. */
export interface AssociativeRecallOptions extends TaskOptions {
  /** Tokens of a row. */
  readonly length: number;
  /** Key-value pairs at the start of a row; each key is asked for once. */
  readonly pairs: number;
  /** Default 8192: half keys, half values. */
  readonly vocabSize?: number;
}

/**
 * Multi-query associative recall: pairs of keys and values, then every key again at some place, to be answered with its value.
 *
 * Keys are different ids from 1 to vocabSize / 2 - 1, values are drawn from vocabSize / 2 on, 0 fills the rest. The 2 `pairs`
 * first tokens are key, value, key, value; each key is then written once at a place drawn uniformly among those behind
 * them, where its value is the target.
 *
 * @throws ConfigError if the pairs and their queries do not fit
 * @see Arora et al. 2023, "Zoology: measuring and improving recall in efficient language models"
 */
export function associativeRecall(options: AssociativeRecallOptions): BatchSource {
  const { length, pairs, vocabSize = 8192, batch, seed } = options;
  checkSize("associativeRecall", "pairs", pairs, 1);
  checkSize("associativeRecall", "vocabSize", vocabSize, 4);
  checkSize("associativeRecall", "batch", batch, 1);
  const half = Math.floor(vocabSize / 2);
  if (!Number.isSafeInteger(length) || length < 3 * pairs || pairs >= half) {
    throw new ConfigError(
      `associativeRecall: ${pairs} pairs must fit with their queries into length and half the vocabulary; got length ${length} and vocabSize ${vocabSize}; ask for fewer pairs`,
      { pairs, length, vocabSize },
    );
  }
  return {
    vocabSize,
    batch: (step): Batch => {
      const random = new Random(seed, step);
      const ids = new Int32Array(batch * length);
      const targets = new Int32Array(batch * length).fill(-1);
      for (let row = 0; row < batch; row++) {
        const start = row * length;
        const keys = shuffled(random, drawnPlaces(random, half - 1, pairs));
        const places = shuffled(random, drawnPlaces(random, length - 2 * pairs, pairs));
        keys.forEach((key, i) => {
          const value = half + random.integer(vocabSize - half);
          const query = start + 2 * pairs + places[i]!;
          ids[start + 2 * i] = key + 1;
          ids[start + 2 * i + 1] = value;
          ids[query] = key + 1;
          targets[query] = value;
        });
      }
      return { ids, targets, batch, length };
    },
  };
}

/** The same numbers in an order drawn uniformly (Fisher and Yates). */
function shuffled(random: Random, numbers: number[]): number[] {
  for (let i = numbers.length - 1; i > 0; i--) {
    const other = random.integer(i + 1);
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
  return numbers;
}
