/**
 * Text in progress: prefill, steps, sampling, stopping, streaming, evaluation and saved states.
 *
 * @module
 */

export { areaUnderRoc } from "./area-under-roc.ts";
export { canStepOnDevice, type DeviceDraws, DeviceSteps, MOST_STEPS } from "./device-steps.ts";
export { type EvaluateOptions, type Evaluation, evaluateIds } from "./evaluate.ts";
export { type BatchEvaluation, type EvaluateBatchesOptions, evaluateBatches } from "./evaluate-batches.ts";
export { type EvaluateLabelledOptions, evaluateLabelled, type LabelledEvaluation } from "./evaluate-labelled.ts";
export {
  type FinishReason,
  type GenerationEngine,
  type GenerationRequest,
  type GenerationResult,
  generateSequences,
  type SequenceEvent,
  type StreamChunk,
  type TokenLogprob,
  type Usage,
} from "./generate.ts";
export { type GenerationFacts, GenerationState, type ModelIdentity, readGenerationState } from "./generation-state.ts";
export { type LabelledTensors, uploadLabelled } from "./labelled-tensors.ts";
export { type GenerationOptions, type ResolvedGenerationOptions, resolveGenerationOptions } from "./options.ts";
export { type PaddedPrompts, type Prefilled, padPrompts, prefill, step } from "./prefill.ts";
export { createSampler, type Sampled, type Sampler, type SamplerPlace } from "./sampler.ts";
export { StopMatcher } from "./stop.ts";
