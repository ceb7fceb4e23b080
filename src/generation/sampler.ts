import { ConfigError, MambaError } from "../tensor/errors.ts";
import { Random } from "../tensor/random.ts";
import { type Candidates, candidates, largest, topIds } from "./candidates.ts";
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
   * @throws MambaError with code `NAN_LOGITS` if a logit is NaN or Infinity, `NO_TOKEN_ALLOWED` if all are -Infinity
   * @throws ConfigError if `processLogits` gives what logits cannot be
   */
  next(logits: Float32Array, recent: readonly number[]): Sampled;
  /** Notes that a token was chosen elsewhere, with this sampler's random numbers. */
  pass(): void;
  /** Random words used so far; a sampler made with it goes on exactly here. */
  readonly counter: number;
}

/** What a sampler needs besides the options. */
export interface SamplerPlace {
  /** Ids from here on are never chosen: models may have more rows than there are tokens. */
  readonly vocabSize: number;
  /** Random words used before. */
  readonly counter: number;
  /** Number of the random stream: equal prompts of a batch draw from independent ones. */
  readonly stream: number;
}

/**
 * A sampler for one sequence.
 *
 * Each drawn token uses one random word of the seed's stream; temperature 0 uses none.
 *
 * @throws ConfigError if the bias names an id that the model does not have
 */
export function createSampler(options: ResolvedGenerationOptions, place: SamplerPlace): Sampler {
  checkBias(options, place.vocabSize);
  const random = new Random(options.seed, place.stream, place.counter);
  return {
    get counter(): number {
      return random.counter;
    },
    pass() {
      if (options.temperature > 0) random.word();
    },
    next(logits, recent) {
      checkLogits(logits);
      const facts = options.logprobs === undefined ? undefined : logprobsOf(logits, options.logprobs);
      const penalised = penalise(logits, recent, options).fill(Number.NEGATIVE_INFINITY, place.vocabSize);
      const best = largest(penalised);
      checkAllowed(penalised[best]!);
      const id = options.temperature === 0 ? best : draw(candidates(penalised, options), random);
      return facts ? { id, logprob: facts.of(id), top: facts.top } : { id };
    },
  };
}

function checkBias({ logitBias }: ResolvedGenerationOptions, vocabSize: number): void {
  for (const id of logitBias.keys()) {
    if (id < vocabSize) continue;
    throw new ConfigError(
      `generate: logitBias must have ids below the vocabulary's ${vocabSize}; got ${id}; check the tokenizer's ids`,
      { option: "logitBias", id, vocabSize },
    );
  }
}

function checkLogits(logits: Float32Array): void {
  for (let i = 0; i < logits.length; i++) {
    if (logits[i]! < Number.POSITIVE_INFINITY) continue;
    throw new MambaError(
      `generate: logits must be numbers; got ${logits[i]} for id ${i}; the weights or the state hold NaN or overflow, check them with inspect`,
      "NAN_LOGITS",
      { id: i, logit: logits[i] },
    );
  }
}

function checkAllowed(most: number): void {
  if (most > Number.NEGATIVE_INFINITY) return;
  throw new MambaError(
    "generate: at least one token must be allowed; every logit is -Infinity; loosen logitBias or processLogits",
    "NO_TOKEN_ALLOWED",
    {},
  );
}

interface Logprobs {
  of(id: number): number;
  readonly top: readonly { id: number; logprob: number }[];
}

/** Log-probabilities of unchanged logits: logit - ln(sum of e^logit), in float64. */
function logprobsOf(logits: Float32Array, count: number): Logprobs {
  const raw = logits.slice();
  const most = raw[largest(raw)]!;
  let sum = 0;
  for (const logit of raw) sum += Math.exp(logit - most);
  const total = most + Math.log(sum);
  const top = Array.from(topIds(raw, count), (id) => ({ id, logprob: raw[id]! - total }));
  return { of: (id) => raw[id]! - total, top };
}

/** The first id whose share of the running sum goes beyond a uniform number. */
function draw({ ids, weights }: Candidates, random: Random): number {
  let total = 0;
  for (const weight of weights) total += weight;
  const aim = random.uniform() * total;
  let at = 0;
  // the sum ends as `total` to the bit, which is more than `aim`, so a weight of 0 is never drawn
  for (let sum = weights[0]!; sum <= aim; ) sum += weights[++at]!;
  return ids ? ids[at]! : at;
}
