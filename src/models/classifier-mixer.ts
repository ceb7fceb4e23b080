import { CausalAttention, type CausalAttentionParameters } from "../layers/causal-attention.ts";
import { GatedMlp, type GatedMlpParameters } from "../layers/gated-mlp.ts";
import type { InitialiseOptions } from "../layers/initialisers.ts";
import { MambaMixer, type MambaMixerParameters } from "../layers/mamba-mixer.ts";
import { initialiseMambaMixer } from "../layers/mamba-mixer-initialise.ts";
import { Norm, type NormParameters } from "../layers/norm.ts";
import type { S4Initialisation } from "../layers/s4/initialise.ts";
import { type S4Config, S4Layer, type S4Parameters } from "../layers/s4/s4-layer.ts";
import { add } from "../ops/elementwise/index.ts";
import type { StreamOptions } from "../ops/random/index.ts";
import { ConfigError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { mambaConfig } from "./config.ts";
import { mixerConfig } from "./mamba-parameters.ts";

/** S4 or S4D, see {@link S4Layer}. */
export interface S4MixerConfig extends Omit<S4Config, "dModel"> {
  readonly kind: "s4";
  /** How new parameters are drawn. */
  readonly start?: S4Initialisation;
}

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

/** A transformer's layer: causal attention with rotary positions, then a gated MLP on its own norm. */
export interface AttentionMixerConfig {
  readonly kind: "attention";
  readonly heads: number;
  /** Inner size of the MLP; default 8/3 dModel rounded up to a multiple of 8. */
  readonly hidden?: number;
}

/** What mixes the samples of a sequence in a layer. */
export type ClassifierMixerConfig = S4MixerConfig | MambaMixerChoice | AttentionMixerConfig;

/** Parameters of an {@link AttentionMixerConfig}. */
export type AttentionMixerParameters = {
  readonly attention: CausalAttentionParameters;
  readonly norm: NormParameters;
  readonly mlp: GatedMlpParameters;
};

export type ClassifierMixerParameters = S4Parameters | MambaMixerParameters | AttentionMixerParameters;

/** What a mixer may make use of. */
export interface MixOptions {
  /** Step sizes are multiplied by it; default 1. */
  readonly rate?: number | undefined;
  /** [batch length], what lies between a sample and the one before. */
  readonly deltas?: Tensor | undefined;
  readonly random?: StreamOptions | undefined;
}

/** A layer's mixer, [batch length dModel] to the same. */
export type Mixer = (u: Tensor, options: MixOptions) => Tensor;

const ATTENTION_STD = 0.02;
const NORM_EPSILON = 1e-5;

/** A mixer of given parameters. */
export function classifierMixer(
  config: ClassifierMixerConfig,
  dModel: number,
  parameters: ClassifierMixerParameters,
): Mixer {
  if (config.kind === "s4") {
    const layer = new S4Layer({ ...config, dModel }, parameters as S4Parameters);
    return (u, { rate, deltas, random }) => {
      refuse("s4", "deltas", deltas);
      return layer.forward(u, { ...(rate === undefined ? {} : { rate }), random });
    };
  }
  if (config.kind === "mamba") {
    const layer = new MambaMixer(mambaChoice(config, dModel), parameters as MambaMixerParameters);
    return (u, { rate, deltas }) => {
      refuse("mamba", "rate", rate === 1 ? undefined : rate);
      refuse("mamba", "deltas", deltas);
      return layer.forward(u).y;
    };
  }
  const { attention, norm, mlp } = parameters as AttentionMixerParameters;
  const mixing = new CausalAttention(config.heads, attention);
  const own = new Norm("rms", NORM_EPSILON, norm);
  const gated = new GatedMlp(mlp);
  return (u, { rate, deltas }) => {
    refuse("attention", "rate", rate === 1 ? undefined : rate);
    refuse("attention", "deltas", deltas);
    const mixed = mixing.forward(u).y;
    return add(mixed, gated.forward(own.forward(mixed, u).y));
  };
}

/** New parameters of a mixer. */
export function initialiseMixer(
  config: ClassifierMixerConfig,
  dModel: number,
  options: InitialiseOptions,
): ClassifierMixerParameters {
  if (config.kind === "s4") {
    return S4Layer.create({ ...config, dModel }, config.start ?? {}, options).parameters;
  }
  if (config.kind === "mamba") {
    const { initialisation } = mambaConfig({ vocabSize: 1, dModel, nLayer: 1 });
    return initialiseMambaMixer(mambaChoice(config, dModel), { ...initialisation, outProjDivisor: 1 }, options);
  }
  const { heads, hidden = Math.ceil((8 * dModel) / 3 / 8) * 8 } = config;
  if (dModel % (2 * heads) !== 0) {
    throw new ConfigError(
      `SequenceClassifier: heads must share dModel ${dModel} out in even widths; got ${heads}; change either`,
      { key: "heads", value: heads },
    );
  }
  const std = { std: ATTENTION_STD, outStd: ATTENTION_STD };
  return {
    attention: CausalAttention.create(dModel, heads, std, options).parameters,
    norm: Norm.create("rms", dModel, NORM_EPSILON, options).parameters,
    mlp: GatedMlp.create(dModel, hidden, std, options).parameters,
  };
}

function mambaChoice({ expand = 2, ...given }: MambaMixerChoice, dModel: number) {
  return mixerConfig(mambaConfig({ ...given, dInner: expand * dModel, vocabSize: 1, dModel, nLayer: 1 }));
}

function refuse(kind: string, option: string, value: unknown): void {
  if (value === undefined) return;
  throw new ConfigError(
    `SequenceClassifier: ${option} must be left out with a mixer of kind ${kind}; got one; use a mixer that takes it`,
    { option, kind },
  );
}
