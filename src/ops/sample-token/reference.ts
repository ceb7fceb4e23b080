import type { ReferenceKernel } from "../../backends/reference/index.ts";
import type { Params } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";

const sampleToken: ReferenceKernel = ({ input, axes, params }) => {
  const { batch, vocab, slots } = axes as Record<"batch" | "vocab" | "slots", number>;
  const [logits, ids, history, count] = [input("logits"), input("ids"), input("history"), input("count")];
  const draws = input("draws");
  const slot = count[0]! % slots;
  const seed = (BigInt((params["seedHigh"] as number) >>> 0) << 32n) | BigInt((params["seedLow"] as number) >>> 0);
  for (let b = 0; b < batch; b++) {
    const row = logits.subarray(b * vocab, (b + 1) * vocab);
    const isValid = row.every((logit) => logit < Number.POSITIVE_INFINITY) && row.some(Number.isFinite);
    const random = new Random(seed, draws[2 * b]! >>> 0, draws[2 * b + 1]! >>> 0);
    const id = isValid ? drawn(row, params, random) : -1;
    if (isValid) draws[2 * b + 1] = random.counter;
    history[slot * batch + b] = id;
    ids[b] = Math.max(id, 0);
  }
  count[0]!++;
};

/** The first id whose share of the running sum goes beyond a uniform number. */
function drawn(row: TypedArray, params: Params, random: Random): number {
  const { temperature, topK, topP, minP } = params as Record<"temperature" | "topK" | "topP" | "minP", number>;
  let most = Number.NEGATIVE_INFINITY;
  for (const logit of row) most = Math.max(most, logit);
  const weights = Float64Array.from(row, (logit) => Math.exp((logit - most) / temperature));
  let kept = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b);
  if (topK > 0) kept = kept.slice(0, topK);
  if (topP < 1) kept = reaching(kept, weights, topP * sumOf(kept, weights));
  kept = kept.filter((id) => weights[id]! >= minP).sort((a, b) => a - b);
  const aim = random.uniform() * sumOf(kept, weights);
  let sum = 0;
  return kept.find((id) => {
    sum += weights[id]!;
    return sum > aim;
  })!;
}

function sumOf(ids: readonly number[], weights: Float64Array): number {
  return ids.reduce((sum, id) => sum + weights[id]!, 0);
}

/** The first ids whose weights reach a sum. */
function reaching(ids: readonly number[], weights: Float64Array, aim: number): number[] {
  let sum = 0;
  const last = ids.findIndex((id) => {
    sum += weights[id]!;
    return sum >= aim;
  });
  return last < 0 ? [...ids] : ids.slice(0, last + 1);
}

/** Reference kernels of this folder. */
export const sampleTokenReference = { sampleToken } as const satisfies Record<string, ReferenceKernel>;
