import { MambaMixer, type MambaMixerParameters } from "../../layers/mamba-mixer.ts";
import { initialiseMambaMixer } from "../../layers/mamba-mixer-initialise.ts";
import { reshape } from "../../ops/movement/index.ts";
import { zeros } from "../../tensor/tensor.ts";
import { mambaConfig } from "../config.ts";
import { mixerConfig } from "../mamba-parameters.ts";
import { type MixerKind, refuse } from "./kind.ts";

/** Mamba-1, see {@link MambaMixer}; what is left out has the defaults of {@link mambaConfig}. */
export interface MambaMixerChoice {
  readonly kind: "mamba";
  readonly dState?: number;
  readonly dConv?: number;
  readonly dtRank?: number;
  /** Features of the state space for each of dModel; default 2. */
  readonly expand?: number;
  readonly selective?: boolean;
}

function completed({ expand = 2, ...given }: MambaMixerChoice, dModel: number) {
  return mixerConfig(mambaConfig({ ...given, dInner: expand * dModel, vocabSize: 1, dModel, nLayer: 1 }));
}

export const mambaKind: MixerKind<MambaMixerChoice, MambaMixerParameters> = {
  create: (config, dModel, options) => {
    const { initialisation } = mambaConfig({ vocabSize: 1, dModel, nLayer: 1 });
    return initialiseMambaMixer(completed(config, dModel), { ...initialisation, outProjDivisor: 1 }, options);
  },

  mixer: (config, dModel, parameters) => {
    const layer = new MambaMixer(completed(config, dModel), parameters);
    return (u, { rate, deltas }) => {
      refuse("mamba", "rate", rate === 1 ? undefined : rate);
      return layer.forward(u, { deltas }).y;
    };
  },

  steps: async (config, dModel, parameters, rate) => {
    refuse("mamba", "rate", rate === 1 ? undefined : rate);
    const own = completed(config, dModel);
    const layer = new MambaMixer(own, parameters);
    const { device, dtype } = parameters.D;
    return {
      initialState: (batch) => [
        zeros([batch, own.dConv - 1, own.dInner], { device, dtype }),
        zeros([batch, own.dInner, own.dState], { device, dtype }),
      ],
      step: (u, [conv, ssm]) => {
        const [batch] = u.shape as [number];
        const { y, state } = layer.forward(reshape(u, [batch, 1, dModel]), { state: { conv: conv!, ssm: ssm! } });
        return { y: reshape(y, [batch, dModel]), state: [state.conv, state.ssm] };
      },
      [Symbol.dispose]: () => layer.dispose(),
    };
  },
};
