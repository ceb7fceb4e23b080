/**
 * Training: optimizers with per-parameter groups, schedules, clipping, gradient accumulation, the step itself.
 *
 * @module
 */
export { decaysByDefault, type ParameterGroup } from "./groups.ts";
export { type AdamWOptions, adamW, type Optimizer, type OptimizerStep, type SgdOptions, sgd } from "./optimizer.ts";
export { constantSchedule, cosineSchedule, linearSchedule, type Schedule, type ScheduleOptions } from "./schedules.ts";
export {
  accumulatedGradients,
  globalNorm,
  type TrainStepOptions,
  type TrainStepResult,
  trainStep,
} from "./train-step.ts";
