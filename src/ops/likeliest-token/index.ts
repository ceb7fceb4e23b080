import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { likeliestTokenOp } from "./operations.ts";

/** What {@link likeliestToken} changes in place; all int32 and dense. */
export interface TokenHistory {
  /** [batch] the latest ids: what an embedding looks up next. */
  readonly ids: Tensor;
  /** [slots batch] the latest `slots` steps, step i in row i % slots. */
  readonly history: Tensor;
  /** [1] steps taken so far. */
  readonly count: Tensor;
}

/**
 * Chooses the id of the largest logit, the lowest of equals, and leaves it where the next step finds it: greedy decoding needs no host.
 * Not differentiable.
 *
 *     ids[b] = history[count % slots, b] = argmax over v of logits[b, v];  count += 1
 *
 * Where a row has a NaN or Infinity, or nothing but -Infinity, `history` gets -1 and `ids` 0.
 *
 * @param logits - [batch vocab]
 * @param into - changed in place, see {@link TokenHistory}
 */
export function likeliestToken(logits: Tensor, { ids, history, count }: TokenHistory): void {
  apply(likeliestTokenOp, { logits, ids, history, count });
}
