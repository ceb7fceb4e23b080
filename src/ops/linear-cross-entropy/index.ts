import type { Tensor } from "../../tensor/tensor.ts";
import {
  type CrossEntropyOptions,
  type CrossEntropyResult,
  type Reduction,
  reduceLosses,
} from "../cross-entropy/reduction.ts";
import { apply } from "../op.ts";
import { linearCrossEntropyOp } from "./operations.ts";

/** Options of {@link linearCrossEntropy}. */
export interface LinearCrossEntropyOptions<R extends Reduction = Reduction> extends CrossEntropyOptions<R> {
  /** Rows of the weight that are classes; the rest is padding and takes no part. Default: all rows. */
  vocabSize?: number;
  /** Tokens of the largest block of logits that exists at a time; default 256. Kernels may use smaller blocks. */
  tokenChunk?: number;
  /** Rows of the weight in that block; default 2048. */
  rowChunk?: number;
}

/**
 * The output head of a language model and its cross-entropy in one op that never holds all logits.
 *
 *     logits[t, v] = sum over c of weight[v, c] x[t, c], for v below vocabSize
 *     logSumExp[t] = ln sum over v of exp(logits[t, v]);  losses[t] = logSumExp[t] - logits[t, targets[t]]
 *
 * Logits exist for `tokenChunk` tokens and `rowChunk` rows at a time, forward with a running maximum and sum,
 * backward from the saved logSumExp: 8 x 2048 tokens of a vocabulary of 50,280 would take 3.3 GB in float32.
 *
 * @param x - [tokens dModel]
 * @param weight - [rows dModel]; may be packed by `packWeight` where it is not trained
 * @param targets - int32 [tokens], each `ignoreIndex` or in 0 to vocabSize - 1
 * @param options - see {@link LinearCrossEntropyOptions}
 * @returns `losses` for the reduction `none`, else `loss`; with `valid` and `logSumExp`
 * @throws ShapeError if an axis disagrees; ConfigError if an option does
 * @throws MambaError with code `ID_OUT_OF_RANGE` for another target: at once on the reference device, at the
 *   next `read()` on others
 * @throws MambaError with code `PACKED_GRADIENT` in backward, if a packed weight is trained
 * @see Milakov & Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3, for the running sum
 */
export function linearCrossEntropy<R extends Reduction = "mean">(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions<R> = {},
): CrossEntropyResult<R> {
  const { reduction = "mean" as R, ignoreIndex = -1, tokenChunk = 256, rowChunk = 2048 } = options;
  const vocabSize = options.vocabSize ?? weight.shape[0] ?? 0;
  const params = { vocabSize, ignoreIndex, tokenChunk, rowChunk };
  return reduceLosses(() => apply(linearCrossEntropyOp, { x, weight, targets }, params), reduction);
}
