/**
 * Layers: parameters and the ops that use them. A layer is a value with `parameters` and a pure `forward`;
 * it knows nothing of files or training.
 *
 * @module
 */
export { BatchNorm, type BatchNormOptions, type BatchNormParameters } from "./batch-norm.ts";
export {
  CausalAttention,
  type CausalAttentionOptions,
  type CausalAttentionParameters,
  type KeyValueCache,
} from "./causal-attention.ts";
export { Dropout } from "./dropout.ts";
export { Embedding } from "./embedding.ts";
export { GatedMlp, type GatedMlpParameters } from "./gated-mlp.ts";
export { type HermitianEigen, hermitianEigen } from "./hippo/hermitian-eigen.ts";
export { type HippoMeasure, type HippoSystem, hippo } from "./hippo/measures.ts";
export { type NormalPlusLowRank, normalPlusLowRank } from "./hippo/nplr.ts";
export type { InitialiseOptions } from "./initialisers.ts";
export { Linear, type LinearParameters } from "./linear.ts";
export { initialiseLssl, type LsslInitialisation } from "./lssl/initialise.ts";
export { type LsslConfig, LsslLayer, type LsslOptions, type LsslParameters } from "./lssl/lssl-layer.ts";
export { LsslRecurrence } from "./lssl/recurrence.ts";
export type { DiscreteLssl, LsslTransition } from "./lssl/transition.ts";
export {
  MambaMixer,
  type MambaMixerConfig,
  type MambaMixerOptions,
  type MambaMixerParameters,
  type MambaMixerState,
} from "./mamba-mixer.ts";
export { initialiseMambaMixer, type MambaMixerInitialisation } from "./mamba-mixer-initialise.ts";
export { Norm, type NormKind, type NormParameters } from "./norm.ts";
export { initialiseS4, type S4Initialisation, type S4Start } from "./s4/initialise.ts";
export type { Discretization } from "./s4/kernels.ts";
export { S4Recurrence, type S4StepMode } from "./s4/recurrence.ts";
export { type S4Config, S4Layer, type S4Options, type S4Parameters } from "./s4/s4-layer.ts";
export type { S4KernelParameters, S4SystemConfig } from "./s4/system.ts";
export type { SampleTimes } from "./sample-times.ts";
