import { ConfigError } from "../../tensor/errors.ts";
import { Random } from "../../tensor/random.ts";
import type { LabelledBatch, LabelledSource } from "../labelled-batch.ts";
import { checkSize, type TaskOptions } from "../task-options.ts";
import { drawTree, evaluateListOps, LIST_OPS_TOKENS, largestTree } from "./grammar.ts";

/** Options of {@link listOps}. */
export interface ListOpsOptions extends TaskOptions {
  /** Most tokens of a row. */
  readonly length: number;
  /** Fewest tokens of a row; default 4, the shortest list. */
  readonly minLength?: number;
  /** Levels of a tree, digits included; default 10. */
  readonly maxDepth?: number;
  /** Most arguments of an operator; default 10. */
  readonly maxArguments?: number;
}

const CLASSES = 10;
const SHORTEST = 4;
/** Trees drawn for a row before it is given up. */
const ATTEMPTS = 200_000;

/**
 * ListOps: tell the value, 0 to 9, of a nested expression such as `[MAX 2 9 [MIN 4 7 ] 0 ]` is of 9. Operators are MIN, MAX,
 * MED (the median; the mean of two middle ones, rounded down) and SM (the sum modulo 10); tokens are those of
 * {@link LIST_OPS_TOKENS}, 0 fills the rest of a row.
 *
 * Row r of all batches is drawn from stream r of the seed: see `drawTree` for how. The Long Range Arena has `minLength` 501, `length`
 * 1999, `maxDepth` 10 and `maxArguments` 10; the paper 20 and 5, and no shortest length.
 *
 * @returns with labels and lengths; a batch is as long as its longest row
 * @throws ConfigError if no tree has a length between the limits; from `batch`, if hardly any has
 * @see Nangia & Bowman 2018, "ListOps: a diagnostic dataset for latent tree learning"; Tay et al. 2020, "Long Range Arena"
 */
export function listOps(options: ListOpsOptions): LabelledSource {
  const { length, minLength = SHORTEST, maxDepth = 10, maxArguments = 10, batch, seed } = options;
  checkSize("listOps", "batch", batch, 1);
  checkSize("listOps", "maxDepth", maxDepth, 2);
  checkSize("listOps", "maxArguments", maxArguments, 2);
  checkSize("listOps", "length", length, SHORTEST);
  checkSize("listOps", "minLength", minLength, 1, length);
  const largest = largestTree({ maxDepth, maxArguments });
  if (minLength > largest) {
    throw new ConfigError(
      `listOps: minLength must be at most the ${largest} tokens of the largest tree; got ${minLength}; lower it, or raise maxDepth or maxArguments`,
      { minLength, largest },
    );
  }
  const limits = { maxDepth, maxArguments, minLength, maxLength: length };
  const row = new Int32Array(length);
  const draw = (number: number): Int32Array => {
    const size = drawTree(new Random(seed, number), limits, row, ATTEMPTS);
    if (size !== undefined) return row.slice(0, size);
    throw new ConfigError(
      `listOps: trees from ${minLength} to ${length} tokens must be found among ${ATTEMPTS}; none was; widen the limits`,
      { minLength, length },
    );
  };
  return {
    input: { vocabSize: LIST_OPS_TOKENS.length },
    classes: CLASSES,
    batch: (step): LabelledBatch => {
      const rows = Array.from({ length: batch }, (_, i) => draw(step * batch + i));
      const longest = Math.max(...rows.map((ids) => ids.length));
      const ids = new Int32Array(batch * longest);
      rows.forEach((tokens, i) => {
        ids.set(tokens, i * longest);
      });
      return {
        ...{ batch, length: longest, ids },
        labels: Int32Array.from(rows, evaluateListOps),
        lengths: Int32Array.from(rows, (tokens) => tokens.length),
      };
    },
  };
}
