import { seedWords } from "../../tensor/random.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { TokenHistory } from "../likeliest-token/index.ts";
import { apply } from "../op.ts";
import { sampleTokenOp } from "./operations.ts";

/** What {@link sampleToken} changes in place besides a {@link TokenHistory}. */
export interface TokenDraws extends TokenHistory {
  /** int32 [batch 2]: the random stream of each row, and the words of it that were used, which goes up by one a token. */
  readonly draws: Tensor;
}

/** How tokens are drawn. */
export interface SampleTokenOptions {
  /** Above 0. */
  readonly temperature: number;
  /** Only the likeliest so many; 0 for all. */
  readonly topK: number;
  /** Only the fewest likeliest of these whose weights reach this share of their sum; 1 for all. */
  readonly topP: number;
  /** Only weights of at least this. */
  readonly minP: number;
  /** Non-negative integer below 2^64. */
  readonly seed: number | bigint;
}

/**
 * Draws an id of each row and leaves it where the next step finds it: sampling needs no host. Not differentiable.
 *
 *     weight[v] = e^((logits[v] - max logits) / temperature), of the ids that topK, topP and minP leave, in this order
 *     ids[b] = history[count % slots, b] = the first v at which the sum of weights up to v exceeds uniform * sum of all;  count += 1
 *
 * `uniform` is the word of a Philox stream that `draws` names, as `Random` of the host has it. Of equal logits the lower id is the likelier.
 * Where a row has a NaN or Infinity, or nothing but -Infinity, `history` gets -1 and `ids` 0, and no word is used.
 * Sums are in float32 on devices: where `uniform` falls within their rounding of the edge between two ids, the other one may be drawn.
 *
 * @param logits - [batch vocab]
 * @param into - changed in place, see {@link TokenDraws}
 * @see Holtzman et al. 2020, section 3.1, for topP
 */
export function sampleToken(logits: Tensor, into: TokenDraws, options: SampleTokenOptions): void {
  const { ids, history, count, draws } = into;
  const { temperature, topK, topP, minP, seed } = options;
  const [seedLow, seedHigh] = seedWords(seed);
  const params = { temperature, topK, topP, minP, seedLow, seedHigh };
  apply(sampleTokenOp, { logits, ids, history, count, draws }, params);
}
