/**
 * Models: configurations, presets, recurrent states, and what ties layers into a language model.
 *
 * @module
 */
export type {
  AttentionMixerConfig,
  ClassifierMixerConfig,
  ClassifierMixerParameters,
  LsslMixerConfig,
  MambaMixerChoice,
  S4MixerConfig,
} from "./classifier-mixers/index.ts";
export type { ClassifierForwardOptions, ClassifierModel } from "./classifier-model.ts";
export type { ClassifierNormKind, ClassifierNormParameters } from "./classifier-norm.ts";
export { ClassifierRecurrence, ClassifierState } from "./classifier-recurrence.ts";
export { type MambaConfig, type MambaConfigInput, type MambaInitialisation, mambaConfig } from "./config.ts";
export { KeyValueState } from "./key-value-state.ts";
export type { ForwardOptions, LanguageModel, Recompute, RecurrentState } from "./language-model.ts";
export { MambaLM } from "./mamba-lm.ts";
export { initialiseMambaLM, type MambaLMParameters } from "./mamba-parameters.ts";
export { isPackable, isProjection, packParameters, parameterType } from "./pack.ts";
export { type MambaPreset, mambaParameterCount, mambaPreset } from "./presets.ts";
export {
  type ClassifyOptions,
  SequenceClassifier,
  type SequenceClassifierConfig,
  type SequenceClassifierParameters,
} from "./sequence-classifier.ts";
export { MambaState } from "./state.ts";
export { type TransformerConfig, type TransformerConfigInput, transformerConfig } from "./transformer-config.ts";
export { TransformerLM, type TransformerLMParameters } from "./transformer-lm.ts";
