/**
 * Training: optimizers with per-parameter groups, schedules, clipping, gradient accumulation, the step itself.
 *
 * @module
 */
export type { BestValidation } from "./checkpoint.ts";
export { type CheckpointStore, folderStore, MemoryStore } from "./checkpoint-store.ts";
export {
  type CompleteTrainConfig,
  classifierConfigOf,
  modelConfigOf,
  newClassifierOf,
  newModelOf,
  optimizerOf,
  readTrainConfig,
  scheduleOf,
  type TrainConfig,
  trainConfigSchema,
} from "./config.ts";
export { taskSource } from "./config-task.ts";
export { decaysByDefault, type ParameterGroup } from "./groups.ts";
export {
  type LabelledData,
  type LabelledDataConfig,
  type LabelledDataOptions,
  type LabelledTest,
  labelledDataOf,
  openLabelledData,
  openLabelledTest,
} from "./labelled-data.ts";
export { type Lora, type LoraOptions, type LoraPair, lora, loraFrom } from "./lora.ts";
export { encodeLora, readLora } from "./lora-file.ts";
export { LoraLM } from "./lora-model.ts";
export { LossScaler, type LossScalerOptions, type LossScalerState } from "./loss-scaler.ts";
export { MovingAverage } from "./moving-average.ts";
export { type AdamWOptions, adamW, type Optimizer, type OptimizerStep, type SgdOptions, sgd } from "./optimizer.ts";
export { type Plot, type PlotLine, sparkline } from "./plot.ts";
export { plotPng } from "./plot-png.ts";
export { plotSvg } from "./plot-svg.ts";
export type { TrainingPrecision } from "./precision.ts";
export { constantSchedule, cosineSchedule, linearSchedule, type Schedule, type ScheduleOptions } from "./schedules.ts";
export { type ShortRunOptions, type ShortRunSubject, shortRun } from "./short-run.ts";
export {
  accumulatedGradients,
  globalNorm,
  readStep,
  type TrainStepOptions,
  type TrainStepResult,
  trainStep,
} from "./train-step.ts";
export { Trainer } from "./trainer.ts";
export type {
  AnyTrainerOptions,
  CheckpointOptions,
  ClassifierTrainerOptions,
  CommonTrainerOptions,
  TrainerOptions,
  TrainingMetrics,
  ValidationOptions,
} from "./trainer-options.ts";
