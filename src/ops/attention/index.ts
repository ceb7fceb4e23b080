import { ShapeError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { attentionOp } from "./operations.ts";

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** Multiplies the products of queries and keys; default 1 / sqrt(width). */
  readonly scale?: number;
  /**
   * int32 [batch keys], not decreasing: a query sees only keys of its own segment. The queries are those of the last `length`
   * keys. -1 is padding: y is 0 there.
   */
  readonly segmentIds?: Tensor;
}

/**
 * Causal softmax attention, in blocks of keys with a running maximum: nothing of size length x keys is ever in memory.
 *
 *     y[i] = sum over j of softmax(scale q[i] . k[j]) v[j],   j from 0 to keys - length + i
 *
 * With more keys than queries the queries are those of the last keys, as with a cache of earlier ones.
 *
 * @param q - [batch length heads width]
 * @param k - [batch keys heads width], keys at least length
 * @param v - [batch keys heads width]
 * @returns y [batch length heads width]
 * @throws ShapeError if an axis disagrees, or there are fewer keys than queries
 * @see Vaswani et al. 2017, "Attention is all you need", section 3.2.1; Dao et al. 2022, "FlashAttention", algorithm 1
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { scale = 1 / Math.sqrt(q.shape[3] ?? 1), segmentIds } = options;
  const [length, keys] = [q.shape[1], k.shape[1]];
  if (length !== undefined && keys !== undefined && keys < length) {
    throw new ShapeError(
      `attention: there must be at least as many keys as queries, ${length}; got ${keys}; pass the keys of all tokens`,
      { length, keys },
    );
  }
  return apply(attentionOp, { q, k, v, segmentIds }, { scale })["y"]!;
}
