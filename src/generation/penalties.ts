import type { ResolvedGenerationOptions } from "./options.ts";

/**
 * Changes logits in the order of Hugging Face's processors: the caller's function, bias, repetition penalty.
 *
 * @param logits - changed in place where the caller's function gives no others
 * @param recent - the latest ids, newest last
 * @see Keskar et al. 2019, "CTRL", section 4.1, for the penalty
 */
export function penalise(
  logits: Float32Array,
  recent: readonly number[],
  { processLogits, logitBias, repetitionPenalty }: ResolvedGenerationOptions,
): Float32Array {
  const out = processLogits?.(logits, recent) ?? logits;
  for (const [id, bias] of logitBias) if (id < out.length) out[id]! += bias;
  if (repetitionPenalty === 1) return out;
  for (const id of new Set(recent)) {
    const logit = out[id];
    if (logit === undefined) continue;
    out[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  }
  return out;
}
