import type { S4Initialisation } from "../../layers/s4/initialise.ts";
import { S4Recurrence } from "../../layers/s4/recurrence.ts";
import { type S4Config, S4Layer, type S4Parameters } from "../../layers/s4/s4-layer.ts";
import type { MixerKind } from "./kind.ts";

/** S4 or S4D, see {@link S4Layer}. */
export interface S4MixerConfig extends Omit<S4Config, "dModel"> {
  readonly kind: "s4";
  /** How new parameters are drawn. */
  readonly start?: S4Initialisation;
}

export const s4Kind: MixerKind<S4MixerConfig, S4Parameters> = {
  create: ({ start = {}, ...config }, dModel, options) =>
    S4Layer.create({ ...config, dModel }, start, options).parameters,

  mixer: (config, dModel, parameters) => {
    const layer = new S4Layer({ ...config, dModel }, parameters);
    return (u, { rate, deltas, random }) =>
      layer.forward(u, { ...(rate === undefined ? {} : { rate }), deltas, random });
  },

  steps: async (config, dModel, parameters, rate) => {
    const recurrence = await S4Recurrence.of(new S4Layer({ ...config, dModel }, parameters), rate);
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
