import { attention } from "../ops/attention/index.ts";
import { linear } from "../ops/linear/index.ts";
import { concat, contiguous, reshape, split } from "../ops/movement/index.ts";
import { rotary } from "../ops/rotary/index.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type InitialiseOptions, normalParameter } from "./initialisers.ts";

/** Queries, keys and values from one projection. */
export type CausalAttentionParameters = {
  /** [3 dModel dModel]: rows of q, then of k, then of v. */
  readonly inProj: { readonly weight: Tensor };
  /** [dModel dModel] */
  readonly outProj: { readonly weight: Tensor };
};

/** Keys and values of the tokens so far, [batch tokens heads width], rotated already. */
export interface KeyValueCache {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Options of {@link CausalAttention.forward}. */
export interface CausalAttentionOptions {
  /** Of earlier tokens. */
  readonly cache?: KeyValueCache;
  /** int32 [batch length]; not together with a cache. */
  readonly segmentIds?: Tensor;
}

/** Multi-head causal attention with rotary positions. */
export class CausalAttention {
  readonly heads: number;
  readonly parameters: CausalAttentionParameters;

  constructor(heads: number, parameters: CausalAttentionParameters) {
    this.heads = heads;
    this.parameters = parameters;
  }

  /** New parameters, normal; `outStd` is smaller by the number of residual additions. */
  static create(
    dModel: number,
    heads: number,
    { std, outStd }: { std: number; outStd: number },
    options: InitialiseOptions,
  ): CausalAttention {
    return new CausalAttention(heads, {
      inProj: { weight: normalParameter([3 * dModel, dModel], std, options) },
      outProj: { weight: normalParameter([dModel, dModel], outStd, options) },
    });
  }

  /**
   * @param x - [batch length dModel]
   * @returns y [batch length dModel], and the cache with these tokens
   */
  forward(x: Tensor, { cache, segmentIds }: CausalAttentionOptions = {}): { y: Tensor; cache: KeyValueCache } {
    const [batch, length, dModel] = x.shape as [number, number, number];
    const { inProj, outProj } = this.parameters;
    return scope(() => {
      const parts = split(linear(x, inProj.weight), [dModel, dModel, dModel]);
      const [q, fresh, values] = parts.map((part) => {
        return reshape(part, [batch, length, this.heads, dModel / this.heads]);
      }) as [Tensor, Tensor, Tensor];
      const offset = cache?.k.shape[1] ?? 0;
      const rotated = rotary(fresh, { offset });
      const k = offset > 0 && cache ? concat([cache.k, rotated], 1) : rotated;
      const v = offset > 0 && cache ? concat([cache.v, values], 1) : contiguous(values);
      const mixed = attention(rotary(q, { offset }), k, v, { segmentIds });
      return { y: linear(reshape(mixed, [batch, length, dModel]), outProj.weight), cache: { k, v } };
    });
  }
}
