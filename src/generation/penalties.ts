import { ConfigError } from "../tensor/errors.ts";
import type { ResolvedGenerationOptions } from "./options.ts";

/**
 * Changes logits in the order of Hugging Face's processors: the caller's function, bias, repetition penalty.
 *
 * @param logits - changed in place where the caller's function gives no others
 * @param recent - the latest ids, newest last
 * @throws ConfigError if the caller's function gives NaN or another number of logits
 * @see Keskar et al. 2019, "CTRL", section 4.1, for the penalty
 */
export function penalise(
  logits: Float32Array,
  recent: readonly number[],
  { processLogits, logitBias, repetitionPenalty }: ResolvedGenerationOptions,
): Float32Array {
  const out = processLogits ? processed(logits, processLogits(logits, recent)) : logits;
  for (const [id, bias] of logitBias) {
    // an infinite bias bans or forces a token whatever its logit is; a sum could be NaN
    if (id < out.length) out[id] = Number.isFinite(bias) ? out[id]! + bias : bias;
  }
  if (repetitionPenalty === 1) return out;
  for (const id of new Set(recent)) {
    const logit = out[id];
    if (logit === undefined) continue;
    out[id] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
  }
  return out;
}

/** The caller's logits, checked. */
function processed(logits: Float32Array, given: unknown): Float32Array {
  const out = given ?? logits;
  if (!(out instanceof Float32Array) || out.length !== logits.length) {
    const came = out instanceof Float32Array ? `${out.length} of them` : typeof out;
    throw new ConfigError(
      `generate: processLogits must give ${logits.length} logits in a Float32Array, or nothing; got ${came}; change it or leave it out`,
      { option: "processLogits" },
    );
  }
  const id = out.findIndex((logit) => Number.isNaN(logit));
  if (id < 0) return out;
  throw new ConfigError(
    `generate: processLogits must give numbers; got NaN for id ${id}; use -Infinity to ban a token`,
    { option: "processLogits", id },
  );
}
