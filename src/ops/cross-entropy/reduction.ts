import { scope } from "../../tensor/scope.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { binary } from "../elementwise/operations.ts";
import { sum } from "../reduce/index.ts";

/** What becomes of the losses of all tokens: kept, averaged over the valid ones, or summed. */
export type Reduction = "none" | "mean" | "sum";

/** Options of the cross-entropies. */
export interface CrossEntropyOptions<R extends Reduction = Reduction> {
  /** Default `mean`; 0 if every target is ignored. */
  reduction?: R;
  /** Target of tokens that count for nothing; default -1. */
  ignoreIndex?: number;
}

/** What the cross-entropies return. */
export type CrossEntropyResult<R extends Reduction> = (R extends "none"
  ? {
      /** [tokens], in nats; 0 where the target is ignored. */
      losses: Tensor;
    }
  : {
      /** One number, in nats. */
      loss: Tensor;
    }) & {
  /** [tokens], 1, or 0 where the target is ignored; of the type of the losses. */
  valid: Tensor;
  /** [tokens], ln of the sum of exp(logits), 0 where the target is ignored; differentiable, for a z-loss. */
  logSumExp: Tensor;
};

/** Reduces the outputs of a cross-entropy op. */
export function reduceLosses<R extends Reduction>(
  run: () => Record<string, Tensor>,
  reduction: R,
): CrossEntropyResult<R> {
  return scope(() => {
    const outputs = run();
    const losses = outputs["losses"]!;
    const valid = outputs["valid"]!;
    const logSumExp = outputs["logSumExp"]!;
    if (reduction === "none") return { losses, valid, logSumExp };
    const total = sum(losses);
    return { loss: reduction === "sum" ? total : overCount(total, sum(valid)), valid, logSumExp };
  }) as unknown as CrossEntropyResult<R>;
}

function overCount(total: Tensor, count: Tensor): Tensor {
  const { device, dtype } = count;
  // without valid tokens the total is 0, and so is the mean
  return binary("div", total, binary("maximum", count, tensor([1], [], { device, dtype })));
}
