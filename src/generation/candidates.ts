import type { ResolvedGenerationOptions } from "./options.ts";

/** Tokens that may be drawn. */
export interface Candidates {
  /** In ascending order; left out where every id is a candidate. */
  readonly ids?: Int32Array;
  /** Probability of each relative to the likeliest token; 0 for those that were dropped. */
  readonly weights: Float64Array;
}

/** The first of the largest. */
export function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** Ids of the `count` largest logits, largest first, equals by id: a heap of the best so far. */
export function topIds(logits: Float32Array, count: number): Int32Array {
  const heap = Int32Array.from({ length: Math.min(count, logits.length) }, (_, id) => id);
  if (heap.length === 0) return heap;
  for (let at = heap.length >> 1; at >= 0; at--) sink(heap, logits, at);
  for (let id = heap.length; id < logits.length; id++) {
    // an equal logit of a later id is worse
    if (logits[id]! <= logits[heap[0]!]!) continue;
    heap[0] = id;
    sink(heap, logits, 0);
  }
  return heap.sort((a, b) => (worse(logits, b, a) ? -1 : 1));
}

function worse(logits: Float32Array, a: number, b: number): boolean {
  return logits[a]! < logits[b]! || (logits[a]! === logits[b]! && a > b);
}

/** Moves an id down a heap whose worst is on top. */
function sink(heap: Int32Array, logits: Float32Array, from: number): void {
  for (let at = from; ; ) {
    let least = at;
    for (let child = 2 * at + 1; child <= 2 * at + 2 && child < heap.length; child++) {
      if (worse(logits, heap[child]!, heap[least]!)) least = child;
    }
    if (least === at) return;
    const id = heap[at]!;
    heap[at] = heap[least]!;
    heap[least] = id;
    at = least;
  }
}

/**
 * Applies temperature, top-k, top-p and min-p, in this order.
 *
 * A token's weight is e^((logit - largest logit) / temperature). Top-p keeps the fewest likeliest tokens of the
 * top k whose weights reach `topP` of the top k's sum; min-p drops weights below `minP`.
 *
 * @param logits - no NaN, and not all -Infinity
 * @see Holtzman et al. 2020, "The curious case of neural text degeneration", section 3.1, for top-p
 */
export function candidates(
  logits: Float32Array,
  { temperature, topK, topP, minP }: Pick<ResolvedGenerationOptions, "temperature" | "topK" | "topP" | "minP">,
): Candidates {
  const most = logits[largest(logits)]!;
  // the first case also serves a forced token, whose logit is Infinity
  const weigh = (logit: number): number => (logit === most ? 1 : Math.exp((logit - most) / temperature));
  const few = topK > 0 && topK < logits.length;
  const all = few ? prefix(logits, topIds(logits, topK), topP, weigh) : undefined;
  // in the order in which a device draws
  const ids = (all ?? (topP < 1 ? nucleus(logits, topP, weigh) : undefined))?.sort();
  const weights = new Float64Array(ids ? ids.length : logits.length);
  for (let i = 0; i < weights.length; i++) {
    const weight = weigh(logits[ids ? ids[i]! : i]!);
    if (weight >= minP) weights[i] = weight;
  }
  return ids ? { ids, weights } : { weights };
}

/** The first of `ids`, likeliest first, whose weights reach `topP` of the sum. */
function prefix(logits: Float32Array, ids: Int32Array, topP: number, weigh: (logit: number) => number): Int32Array {
  if (topP === 1) return ids;
  let total = 0;
  for (const id of ids) total += weigh(logits[id]!);
  return ids.subarray(0, reach(logits, ids, topP * total, weigh));
}

/** How many of `ids` it takes for their weights to reach `aim`; all if they don't. */
function reach(logits: Float32Array, ids: Int32Array, aim: number, weigh: (logit: number) => number): number {
  let sum = 0;
  for (let i = 0; i < ids.length; i++) {
    sum += weigh(logits[ids[i]!]!);
    if (sum >= aim) return i + 1;
  }
  return ids.length;
}

/** Buckets of weights: a power of two each, so that the last holds what is too small to count. */
const BUCKETS = 64;
/** Buckets in a power of two, so that few tokens share one. */
const FINE = 16;

/**
 * The likeliest ids whose weights reach `topP` of the sum, in no order.
 *
 * Sorting a whole vocabulary is slow, so tokens are gathered in buckets of similar weight, and only the bucket
 * where the sum reaches its aim is sorted.
 */
function nucleus(logits: Float32Array, topP: number, weigh: (logit: number) => number): Int32Array {
  const bucketOf = new Uint16Array(logits.length);
  const sums = new Float64Array(BUCKETS * FINE);
  let total = 0;
  for (let id = 0; id < logits.length; id++) {
    const weight = weigh(logits[id]!);
    const bucket = Math.min(sums.length - 1, Math.floor(-Math.log2(weight) * FINE));
    bucketOf[id] = bucket;
    sums[bucket]! += weight;
    total += weight;
  }
  let before = 0;
  let edge = 0;
  while (edge < sums.length - 1 && before + sums[edge]! < topP * total) before += sums[edge++]!;
  const inside: number[] = [];
  const atEdge: number[] = [];
  for (let id = 0; id < logits.length; id++) {
    if (bucketOf[id]! < edge) inside.push(id);
    else if (bucketOf[id] === edge) atEdge.push(id);
  }
  const sorted = Int32Array.from(atEdge).sort((a, b) => (worse(logits, b, a) ? -1 : 1));
  const kept = reach(logits, sorted, topP * total - before, weigh);
  return Int32Array.from([...inside, ...sorted.subarray(0, kept)]);
}
