import { MambaError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import type { ResolvedGenerationOptions } from "./options.ts";
import { penalise } from "./penalties.ts";

/** A token that was chosen. */
export interface Sampled {
  readonly id: number;
  /** Natural logarithm of its probability before penalties and temperature; if asked for. */
  readonly logprob?: number;
  /** The likeliest tokens, best first; if asked for. */
  readonly top?: readonly { id: number; logprob: number }[];
}

/** Chooses tokens, one after the other. */
export interface Sampler {
  /**
   * @param logits - of one position; may be changed
   * @param recent - the latest ids, newest last
   * @throws MambaError with code `NAN_LOGITS` if no token can be chosen
   */
  next(logits: Float32Array, recent: readonly number[]): Sampled;
  /** Random words used so far; a sampler made with it goes on exactly here. */
  readonly counter: number;
}

/** What a sampler needs besides the options. */
export interface SamplerPlace {
  readonly vocabSize: number;
  /** Random words used before. */
  readonly counter: number;
  /** Row of a batch: rows draw from independent streams. */
  readonly stream: number;
}

/** A sampler for one sequence. */
export function createSampler(options: ResolvedGenerationOptions, place: SamplerPlace): Sampler {
  const random = new Random(options.seed, place.stream, place.counter);
  return {
    get counter(): number {
      return random.counter;
    },
    next(logits, recent) {
      checkLogits(logits);
      const facts = options.logprobs === undefined ? undefined : logprobsOf(logits, options.logprobs);
      const penalised = penalise(logits, recent, options);
      const id = options.temperature === 0 ? largest(penalised) : draw(penalised, options, random);
      return facts ? { id, logprob: facts.of(id), top: facts.top } : { id };
    },
  };
}

function checkLogits(logits: Float32Array): void {
  for (let i = 0; i < logits.length; i++) {
    if (!Number.isNaN(logits[i]!)) continue;
    throw new MambaError(
      `generate: logits must be numbers; got NaN for id ${i}; the weights or the state hold NaN, check them with inspect`,
      "NAN_LOGITS",
      { id: i },
    );
  }
}

/** The first of the largest. */
function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

interface Logprobs {
  of(id: number): number;
  readonly top: readonly { id: number; logprob: number }[];
}

/** Log-probabilities of unchanged logits, in float64. */
function logprobsOf(logits: Float32Array, count: number): Logprobs {
  const most = logits[largest(logits)]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - most);
  const total = most + Math.log(sum);
  const raw = logits.slice();
  const top = topIds(raw, Math.min(count, raw.length)).map((id) => ({ id, logprob: raw[id]! - total }));
  return { of: (id) => raw[id]! - total, top };
}

/** Ids of the `count` largest logits, largest first, equals by id: a heap of the best so far. */
function topIds(logits: Float32Array, count: number): number[] {
  const heap: number[] = [];
  const worse = (a: number, b: number): boolean => logits[a]! < logits[b]! || (logits[a]! === logits[b]! && a > b);
  const sink = (from: number): void => {
    for (let at = from; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && worse(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  };
  for (let id = 0; id < logits.length && count > 0; id++) {
    if (heap.length < count) {
      heap.push(id);
      if (heap.length === count) for (let at = count >> 1; at >= 0; at--) sink(at);
    } else if (worse(heap[0]!, id)) {
      heap[0] = id;
      sink(0);
    }
  }
  return heap.sort((a, b) => (worse(b, a) ? -1 : 1));
}

/** Ids that may be drawn, likeliest first, with their weights relative to the likeliest. */
interface Candidates {
  readonly ids: number[];
  readonly weights: number[];
}

function draw(logits: Float32Array, options: ResolvedGenerationOptions, random: Random): number {
  const { ids, weights } = candidates(logits, options);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let left = random.uniform() * total;
  for (let i = 0; i < ids.length; i++) {
    left -= weights[i]!;
    if (left < 0) return ids[i]!;
  }
  return ids[ids.length - 1]!;
}

/** Applies temperature, top-k, top-p and min-p, in this order. */
function candidates(logits: Float32Array, { temperature, topK, topP, minP }: ResolvedGenerationOptions): Candidates {
  const count = topK > 0 ? Math.min(topK, logits.length) : logits.length;
  let ids = count < logits.length ? topIds(logits, count) : reachable(logits, temperature, topP < 1);
  const most = logits[ids[0]!]!;
  if (most === Number.NEGATIVE_INFINITY) {
    throw new MambaError(
      "generate: at least one token must be allowed; every logit is -Infinity; loosen logitBias or processLogits",
      "NO_TOKEN_ALLOWED",
      {},
    );
  }
  const weigh = (id: number): number => Math.exp((logits[id]! - most) / temperature);
  let weights = ids.map(weigh);
  if (topP < 1) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let kept = 0;
    for (let sum = 0; kept < ids.length && sum < topP * total; kept++) sum += weights[kept]!;
    ids = ids.slice(0, Math.max(kept, 1));
  }
  if (minP > 0) ids = ids.filter((_, i) => weights[i]! >= minP);
  weights = ids.map(weigh);
  return { ids, weights };
}

/** e^-40 of the likeliest token's probability is never drawn: the draw has 24 bits. */
const NEGLIGIBLE = 40;

/** Ids that have a chance, the likeliest first; all in order if `sorted`. */
function reachable(logits: Float32Array, temperature: number, sorted: boolean): number[] {
  const first = largest(logits);
  const least = logits[first]! - NEGLIGIBLE * temperature;
  const ids: number[] = [first];
  for (let id = 0; id < logits.length; id++) if (id !== first && logits[id]! >= least) ids.push(id);
  return sorted ? ids.sort((a, b) => logits[b]! - logits[a]! || a - b) : ids;
}
