import type { LsslInitialisation } from "../../layers/lssl/initialise.ts";
import { type LsslConfig, LsslLayer, type LsslParameters } from "../../layers/lssl/lssl-layer.ts";
import { LsslRecurrence } from "../../layers/lssl/recurrence.ts";
import type { MixerKind } from "./kind.ts";

/** LSSL, see {@link LsslLayer}. */
export interface LsslMixerConfig extends Omit<LsslConfig, "dModel"> {
  readonly kind: "lssl";
  /** How new parameters are drawn. */
  readonly start?: LsslInitialisation;
}

export const lsslKind: MixerKind<LsslMixerConfig, LsslParameters> = {
  create: ({ start = {}, ...config }, dModel, options) =>
    LsslLayer.create({ ...config, dModel }, start, options).parameters,

  mixer: (config, dModel, parameters) => {
    const layer = new LsslLayer({ ...config, dModel }, parameters);
    return (u, { rate, deltas, random }) =>
      layer.forward(u, { ...(rate === undefined ? {} : { rate }), deltas, random });
  },

  steps: async (config, dModel, parameters, rate) => {
    const recurrence = new LsslRecurrence(new LsslLayer({ ...config, dModel }, parameters), rate);
    return {
      initialState: (batch) => [recurrence.initialState(batch)],
      step: (u, [own]) => {
        const { y, state } = recurrence.step(u, own!);
        return { y, state: [state] };
      },
      [Symbol.dispose]: () => recurrence.dispose(),
    };
  },
};
