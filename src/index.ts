/**
 * `mamba.ts`: load a model, generate, evaluate, save. The layers below have entries of their own: `mamba.ts/tensor`,
 * `/ops`, `/autograd`, `/layers`, `/models`, `/checkpoints`, `/text`, `/generation`.
 *
 * @module
 */
export type { EvaluateOptions, Evaluation } from "./generation/evaluate.ts";
export type { GenerationResult, StreamChunk } from "./generation/generate.ts";
export type { GenerationState } from "./generation/generation-state.ts";
export type { GenerationOptions } from "./generation/options.ts";
export { type DeviceOptions, openDevice, type WasmOptions } from "./ops/devices.ts";
export {
  CausalLM,
  type CausalLMParts,
  Classifier,
  type HostLogits,
  type LoadProgress,
  largestClasses,
  type PretrainedOptions,
  type PretrainedSource,
  type Prompt,
  type Sequences,
  saveClassifier,
  saveMamba,
} from "./pretrained/index.ts";
export type { Device, DeviceName } from "./tensor/device.ts";
export type { DType, TypedArray } from "./tensor/dtype.ts";
export * from "./tensor/errors.ts";
export { scope } from "./tensor/scope.ts";
export { type Tensor, type TensorOptions, tensor } from "./tensor/tensor.ts";
export type { ChatMessage } from "./text/index.ts";
