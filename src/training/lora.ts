import { add, mul } from "../ops/elementwise/index.ts";
import { matmul } from "../ops/matmul/index.ts";
import { averageUpdate } from "../ops/optimizer-update/index.ts";
import { ConfigError, StateError } from "../tensor/errors.ts";
import { flattenParameters, nestParameters, type Parameters } from "../tensor/parameters.ts";
import { Random } from "../tensor/random.ts";
import { scope } from "../tensor/scope.ts";
import { formatShape } from "../tensor/shape.ts";
import { type Tensor, tensor, zeros } from "../tensor/tensor.ts";

/** Options of {@link lora}. */
export interface LoraOptions {
  /** Inner size of the update of each weight. */
  readonly rank: number;
  /** The update is multiplied by alpha / rank; default: 2 rank. */
  readonly alpha?: number;
  /** Which weights, by dotted name; default: the projections of mixers. Only matrices are taken. */
  readonly match?: RegExp;
  /** Of A; default 0. */
  readonly seed?: number;
}

/** A and B of one weight; types rather than interfaces, so that they count as {@link Parameters}. */
export type LoraPair = {
  /** [rank in] */
  readonly A: Tensor;
  /** [out rank] */
  readonly B: Tensor;
};

/** Low-rank updates of some of a model's weights. */
export interface Lora {
  readonly rank: number;
  readonly alpha: number;
  /** Dotted names of the weights that are adapted. */
  readonly names: readonly string[];
  /** What is trained: `A` and `B` under the name of each weight. */
  readonly parameters: Parameters;
  /**
   * All parameters of the model with w + (alpha / rank) B A in place of each adapted w. Inside an objective, gradients reach
   * A and B through it.
   *
   * @param own - A and B, default {@link parameters}
   * @returns the weights that are not adapted as they are, and new tensors that the caller or its scope owns
   */
  effective(own?: Parameters): Parameters;
  /** Whether the updates are in the weights. */
  readonly isMerged: boolean;
  /** Adds the updates to the model's weights, in place. @throws StateError if they are in it already */
  merge(): void;
  /** Takes them out again, exact within rounding. @throws StateError if they are not in it */
  unmerge(): void;
  /** Frees A and B. The model's weights stay. Idempotent. */
  dispose(): void;
}

const projections = /\.(?:inProj|xProj|dtProj|outProj)\.weight$/;

/**
 * Low-rank adaptation: weights stay as they are and get trained updates of small rank.
 *
 *     w' = w + (alpha / rank) B A,   A[rank in] uniform in +-sqrt(3 / in),   B[out rank] = 0
 *
 * so that the model is unchanged at first.
 *
 * @param parameters - of the model; not changed, and they must outlive the result
 * @throws ConfigError if the rank is no positive integer, or no matrix matches
 * @see Hu et al. 2021, "LoRA: low-rank adaptation of large language models", section 4.1
 */
export function lora(parameters: Parameters, options: LoraOptions): Lora {
  const { rank, alpha = 2 * rank, match = projections, seed = 0 } = options;
  checkOptions(rank, alpha);
  const random = new Random(seed);
  const adapted = [...flattenParameters(parameters)].filter(([name, w]) => match.test(name) && w.shape.length === 2);
  if (adapted.length === 0) {
    throw new ConfigError(`lora: match must choose at least one matrix; ${match} chose none; see inspect --tensors`, {
      match: String(match),
    });
  }
  const pairs = adapted.map(([name, w]) => [name, newPair(w, rank, random)] as const);
  return new LowRankUpdates(parameters, new Map(pairs), rank, alpha);
}

/**
 * Low-rank updates from tensors that were saved: `NAME.A` and `NAME.B`.
 *
 * @param tensors - by name; the result owns them
 * @throws StateError if a name or shape does not fit the model
 */
export function loraFrom(
  parameters: Parameters,
  tensors: ReadonlyMap<string, Tensor>,
  { rank, alpha }: Required<Pick<LoraOptions, "rank" | "alpha">>,
): Lora {
  checkOptions(rank, alpha);
  const weights = flattenParameters(parameters);
  const pairs = new Map<string, LoraPair>();
  for (const [key, B] of tensors) {
    if (!key.endsWith(".B")) continue;
    const name = key.slice(0, -2);
    const [A, w] = [tensors.get(`${name}.A`), weights.get(name)];
    if (A && w && fits(w, A, B, rank)) pairs.set(name, { A, B });
  }
  if (pairs.size === 0 || 2 * pairs.size !== tensors.size) {
    const stray = [...tensors.keys()].find((key) => !pairs.has(key.slice(0, -2))) ?? "nothing";
    const shape = tensors.get(stray) ? ` ${formatShape(tensors.get(stray)!.shape)}` : "";
    throw new StateError(
      `lora: tensors must be NAME.A [${rank} in] and NAME.B [out ${rank}] of weights of the model; got ${stray}${shape}; load the model that was adapted`,
      { name: stray },
    );
  }
  return new LowRankUpdates(parameters, pairs, rank, alpha);
}

function fits(w: Tensor, A: Tensor, B: Tensor, rank: number): boolean {
  const [out, inner] = w.shape;
  return A.shape.join() === `${rank},${inner}` && B.shape.join() === `${out},${rank}`;
}

function checkOptions(rank: number, alpha: number): void {
  if (!Number.isSafeInteger(rank) || rank < 1) {
    throw new ConfigError(`lora: rank must be a positive whole number; got ${rank}; 4 to 64 are usual`, { rank });
  }
  if (!(alpha > 0 && Number.isFinite(alpha))) {
    throw new ConfigError(`lora: alpha must be a positive number; got ${alpha}; leave it out`, { alpha });
  }
}

function newPair({ shape, device, dtype }: Tensor, rank: number, random: Random): LoraPair {
  const [out, inner] = shape as [number, number];
  const bound = Math.sqrt(3 / inner);
  const values = random.uniforms(rank * inner).map((value) => (2 * value - 1) * bound);
  return { A: tensor(values, [rank, inner], { device, dtype }), B: zeros([out, rank], { device, dtype }) };
}

class LowRankUpdates implements Lora {
  readonly rank: number;
  readonly alpha: number;
  readonly parameters: Parameters;
  readonly #base: Parameters;
  readonly #pairs: ReadonlyMap<string, LoraPair>;
  #isMerged = false;

  constructor(base: Parameters, pairs: ReadonlyMap<string, LoraPair>, rank: number, alpha: number) {
    this.rank = rank;
    this.alpha = alpha;
    this.#base = base;
    this.#pairs = pairs;
    const flat = [...pairs].flatMap(([name, { A, B }]) => [[`${name}.A`, A] as const, [`${name}.B`, B] as const]);
    this.parameters = nestParameters(flat);
  }

  get names(): readonly string[] {
    return [...this.#pairs.keys()];
  }

  effective(own: Parameters = this.parameters): Parameters {
    this.#assertMerged(false, "effective");
    const flat = flattenParameters(own);
    const weights = [...flattenParameters(this.#base)].map(([name, w]) => {
      const [A, B] = [flat.get(`${name}.A`), flat.get(`${name}.B`)];
      return [name, A && B ? this.#updated(w, A, B) : w] as const;
    });
    return nestParameters(weights);
  }

  get isMerged(): boolean {
    return this.#isMerged;
  }

  merge(): void {
    this.#assertMerged(false, "merge");
    this.#move(1);
  }

  unmerge(): void {
    this.#assertMerged(true, "unmerge");
    this.#move(-1);
  }

  #assertMerged(must: boolean, what: string): void {
    if (this.#isMerged === must) return;
    const state = must ? "be in the weights; they are not" : "not be in the weights; they are";
    throw new StateError(`lora: for ${what} the updates must ${state}; call it once`, { isMerged: this.#isMerged });
  }

  #move(sign: 1 | -1): void {
    const weights = flattenParameters(this.#base);
    scope(() => {
      for (const [name, { A, B }] of this.#pairs) {
        const w = weights.get(name)!;
        // a moving average that keeps nothing of what was: assignment
        averageUpdate(w, this.#updated(w, A, B, sign), 0);
      }
    });
    this.#isMerged = sign === 1;
  }

  #updated(w: Tensor, A: Tensor, B: Tensor, sign = 1): Tensor {
    return scope(() => add(w, mul(matmul(B, A), (sign * this.alpha) / this.rank)));
  }

  dispose(): void {
    for (const { A, B } of this.#pairs.values()) {
      A.dispose();
      B.dispose();
    }
  }
}
