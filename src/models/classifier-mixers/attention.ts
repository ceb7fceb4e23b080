import { CausalAttention, type CausalAttentionParameters } from "../../layers/causal-attention.ts";
import { GatedMlp, type GatedMlpParameters } from "../../layers/gated-mlp.ts";
import { Norm, type NormParameters } from "../../layers/norm.ts";
import { add } from "../../ops/elementwise/index.ts";
import { reshape } from "../../ops/movement/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type MixerKind, refuse } from "./kind.ts";

/** A transformer's layer: causal attention with rotary positions, then a gated MLP on its own norm. */
export interface AttentionMixerConfig {
  readonly kind: "attention";
  readonly heads: number;
  /** Inner size of the MLP; default 8/3 dModel rounded up to a multiple of 8. */
  readonly hidden?: number;
}

/** Parameters of an {@link AttentionMixerConfig}. */
export type AttentionMixerParameters = {
  readonly attention: CausalAttentionParameters;
  readonly norm: NormParameters;
  readonly mlp: GatedMlpParameters;
};

const STD = { std: 0.02, outStd: 0.02 };
const NORM_EPSILON = 1e-5;

/** What attention gave and the MLP makes of it, which a layer's residual is added to. */
function feedForward({ norm, mlp }: AttentionMixerParameters): (mixed: Tensor, u: Tensor) => Tensor {
  const own = new Norm("rms", NORM_EPSILON, norm);
  const gated = new GatedMlp(mlp);
  return (mixed, u) => add(mixed, gated.forward(own.forward(mixed, u).y));
}

export const attentionKind: MixerKind<AttentionMixerConfig, AttentionMixerParameters> = {
  create: ({ heads, hidden }, dModel, options) => {
    if (dModel % (2 * heads) !== 0) {
      throw new ConfigError(
        `SequenceClassifier: heads must share dModel ${dModel} out in even widths; got ${heads}; change either`,
        { key: "heads", value: heads },
      );
    }
    return {
      attention: CausalAttention.create(dModel, heads, STD, options).parameters,
      norm: Norm.create("rms", dModel, NORM_EPSILON, options).parameters,
      mlp: GatedMlp.create(dModel, hidden ?? Math.ceil((8 * dModel) / 3 / 8) * 8, STD, options).parameters,
    };
  },

  mixer: ({ heads }, _, parameters) => {
    const mixing = new CausalAttention(heads, parameters.attention);
    const fed = feedForward(parameters);
    return (u, { rate, deltas }) => {
      refuse("attention", "rate", rate === 1 ? undefined : rate);
      refuse("attention", "deltas", deltas);
      return fed(mixing.forward(u).y, u);
    };
  },

  steps: async ({ heads }, dModel, parameters, rate) => {
    refuse("attention", "rate", rate === 1 ? undefined : rate);
    const mixing = new CausalAttention(heads, parameters.attention);
    const fed = feedForward(parameters);
    return {
      initialState: () => [],
      step: (u, [k, v]) => {
        const [batch] = u.shape as [number];
        const given = reshape(u, [batch, 1, dModel]);
        const { y, cache } = mixing.forward(given, k && v ? { cache: { k, v } } : {});
        return { y: reshape(fed(y, given), [batch, dModel]), state: [cache.k, cache.v] };
      },
      [Symbol.dispose]: () => {},
    };
  },
};
