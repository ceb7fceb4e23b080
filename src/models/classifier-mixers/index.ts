import type { InitialiseOptions } from "../../layers/initialisers.ts";
import type { LsslParameters } from "../../layers/lssl/lssl-layer.ts";
import type { MambaMixerParameters } from "../../layers/mamba-mixer.ts";
import type { S4Parameters } from "../../layers/s4/s4-layer.ts";
import { type AttentionMixerConfig, type AttentionMixerParameters, attentionKind } from "./attention.ts";
import type { Mixer, MixerKind, MixerSteps } from "./kind.ts";
import { type LsslMixerConfig, lsslKind } from "./lssl.ts";
import { type MambaMixerChoice, mambaKind } from "./mamba.ts";
import { type S4MixerConfig, s4Kind } from "./s4.ts";

export type { AttentionMixerConfig, AttentionMixerParameters } from "./attention.ts";
export type { Mixer, MixerSteps, MixOptions } from "./kind.ts";
export type { LsslMixerConfig } from "./lssl.ts";
export type { MambaMixerChoice } from "./mamba.ts";
export type { S4MixerConfig } from "./s4.ts";

/** What mixes the samples of a sequence in a layer. */
export type ClassifierMixerConfig = S4MixerConfig | LsslMixerConfig | MambaMixerChoice | AttentionMixerConfig;

export type ClassifierMixerParameters = S4Parameters | LsslParameters | MambaMixerParameters | AttentionMixerParameters;

const kinds = { s4: s4Kind, lssl: lsslKind, mamba: mambaKind, attention: attentionKind };

/** A configuration's kind; that its parameters are of it too is the caller's word. */
function kindOf({ kind }: ClassifierMixerConfig): MixerKind<ClassifierMixerConfig, ClassifierMixerParameters> {
  return kinds[kind] as MixerKind<ClassifierMixerConfig, ClassifierMixerParameters>;
}

/** A mixer of given parameters. */
export function classifierMixer(
  config: ClassifierMixerConfig,
  dModel: number,
  parameters: ClassifierMixerParameters,
): Mixer {
  return kindOf(config).mixer(config, dModel, parameters);
}

/** A mixer of given parameters, sample by sample; see {@link MixerKind.steps}. */
export function mixerSteps(
  config: ClassifierMixerConfig,
  dModel: number,
  parameters: ClassifierMixerParameters,
  rate: number,
): Promise<MixerSteps> {
  return kindOf(config).steps(config, dModel, parameters, rate);
}

/** New parameters of a mixer. */
export function initialiseMixer(
  config: ClassifierMixerConfig,
  dModel: number,
  options: InitialiseOptions,
): ClassifierMixerParameters {
  return kindOf(config).create(config, dModel, options);
}
