import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { crossEntropyOp } from "./operations.ts";
import { type CrossEntropyOptions, type CrossEntropyResult, type Reduction, reduceLosses } from "./reduction.ts";

export type { CrossEntropyOptions, CrossEntropyResult, Reduction } from "./reduction.ts";

/**
 * Cross-entropy between logits and the class that came, for each token.
 *
 *     losses[t] = logSumExp[t] - logits[t, targets[t]];  logSumExp[t] = ln sum over v of exp(logits[t, v])
 *
 * For the output head of a language model, `linearCrossEntropy` gives the same without holding all logits.
 *
 * @param logits - [tokens vocabulary]
 * @param targets - int32 [tokens], each `ignoreIndex` or in 0 to vocabulary - 1
 * @param options - see {@link CrossEntropyOptions}
 * @returns `losses` for the reduction `none`, else `loss`; with `valid` and `logSumExp`
 * @throws ShapeError if an axis disagrees
 * @throws MambaError with code `ID_OUT_OF_RANGE` for another target: at once on the reference device, at the
 *   next `read()` on others
 */
export function crossEntropy<R extends Reduction = "mean">(
  logits: Tensor,
  targets: Tensor,
  options: CrossEntropyOptions<R> = {},
): CrossEntropyResult<R> {
  const { reduction = "mean" as R, ignoreIndex = -1 } = options;
  return reduceLosses(() => apply(crossEntropyOp, { logits, targets }, { ignoreIndex }), reduction);
}
