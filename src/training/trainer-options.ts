import type { BatchSource, LabelledSource } from "../data/index.ts";
import type { ClassifierModel, LanguageModel, Recompute } from "../models/index.ts";
import { ConfigError } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CheckpointStore } from "./checkpoint-store.ts";
import type { LossScaler } from "./loss-scaler.ts";
import type { Optimizer } from "./optimizer.ts";
import { checkPrecision, type TrainingPrecision } from "./precision.ts";
import type { Schedule } from "./schedules.ts";

/** Loss on data that is not trained on. */
export interface ValidationOptions<Source = BatchSource> {
  readonly data: Source;
  /** Steps between validations; there is one at the end too. */
  readonly every: number;
  /** Batches of each, from number 0; default 8. */
  readonly batches?: number;
  /** End the run after this many validations without a better loss; default: never. */
  readonly patience?: number;
  /** Count right predictions too; classifiers always do. Default false. */
  readonly accuracy?: boolean | undefined;
}

/** Where a run is kept. */
export interface CheckpointOptions {
  readonly store: CheckpointStore;
  /** Steps between checkpoints; one is written at the end, on abort, and when the loop is left. Default 1,000. */
  readonly every?: number;
  /** Go on from `last.safetensors` if there is one. Default false. */
  readonly resume?: boolean;
}

/** Options of a trainer, whatever it trains. */
export interface CommonTrainerOptions {
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  /** Updates in all, those before a resumption included. */
  readonly steps: number;
  /** Parts that a batch is worked through in; default 1. */
  readonly microBatches?: number;
  /** Largest global norm of the gradients; default: no limit. */
  readonly clipNorm?: number;
  /** Decay of a moving average of the parameters, which is validated and saved as the best; default: none. */
  readonly average?: number;
  /** Of training steps; validation keeps to what the device is set to. Default: what the device is set to. */
  readonly precision?: TrainingPrecision;
  /** For gradients in float16; default: a new one with `precision: "mixed"`, else none. */
  readonly lossScaler?: LossScaler;
  readonly checkpoints?: CheckpointOptions;
  /** Ends the run after the step at work; a checkpoint is written before the AbortError. */
  readonly signal?: AbortSignal;
}

/** Options of a trainer of a language model. */
export interface TrainerOptions extends CommonTrainerOptions {
  /** Its parameters change in place. */
  readonly model: LanguageModel;
  readonly data: BatchSource;
  /** What backward makes again instead of keeping it; default `none`. */
  readonly recompute?: Recompute;
  readonly validation?: ValidationOptions;
}

/** Options of a trainer of a classifier of sequences. */
export interface ClassifierTrainerOptions extends CommonTrainerOptions {
  /** Its parameters change in place. */
  readonly classifier: ClassifierModel;
  readonly data: LabelledSource;
  readonly validation?: ValidationOptions<LabelledSource>;
  /** Of dropout; default 0. */
  readonly seed?: number;
}

/** Options of a trainer. */
export type AnyTrainerOptions = TrainerOptions | ClassifierTrainerOptions;

/** Numbers of a step. */
export interface TrainingMetrics {
  /** Steps taken, this one included. */
  readonly step: number;
  /** Mean cross-entropy of the batch in nats, before the update. */
  readonly loss: number;
  readonly learningRate: number;
  /** Global norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Of the step alone, without validation and checkpoints. */
  readonly tokensPerSecond: number;
  /** Most bytes that the device has held. */
  readonly memory: number;
  /** Nats. */
  readonly validationLoss?: number;
  readonly validationAccuracy?: number;
  /** Area under the receiver operating characteristic, of classifiers of two classes. */
  readonly validationAuroc?: number;
  /** Gradients overflowed under the loss scale; nothing was updated. */
  readonly skipped?: true;
}

/** @throws ConfigError naming the first option that cannot be */
export function checkTrainerOptions(options: AnyTrainerOptions): void {
  const { validation, checkpoints } = options;
  const counts = {
    steps: options.steps,
    microBatches: options.microBatches,
    "validation.every": validation?.every,
    "validation.batches": validation?.batches,
    "validation.patience": validation?.patience,
    "checkpoints.every": checkpoints?.every,
  };
  for (const [option, value] of Object.entries(counts)) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) continue;
    throw new ConfigError(`Trainer: ${option} must be a whole number from 1; got ${value}; change it`, {
      option,
      value,
    });
  }
  if (options.clipNorm !== undefined && !(options.clipNorm > 0)) {
    throw new ConfigError(`Trainer: clipNorm must be positive; got ${options.clipNorm}; leave it out for no limit`, {});
  }
  const [{ device }] = flattenParameters(modelOf(options).parameters).values() as unknown as [Tensor];
  checkPrecision("Trainer", options.precision, device);
  if ("classifier" in options) checkClasses(options);
  else checkVocabulary(options);
}

/** What is trained. */
export function modelOf(options: AnyTrainerOptions): LanguageModel | ClassifierModel {
  return "classifier" in options ? options.classifier : options.model;
}

function checkClasses({ classifier, data, validation }: ClassifierTrainerOptions): void {
  const { classes } = classifier.config;
  for (const source of validation ? [data, validation.data] : [data]) {
    if (source.classes <= classes) continue;
    throw new ConfigError(
      `Trainer: the classifier must have every class of the data, ${source.classes}; it has ${classes}; make another`,
      { expected: source.classes, actual: classes },
    );
  }
}

function checkVocabulary({ model, data, validation }: TrainerOptions): void {
  for (const source of validation ? [data, validation.data] : [data]) {
    if (source.vocabSize <= model.vocabSize) continue;
    throw new ConfigError(
      `Trainer: the model must have every id of the data, ${source.vocabSize}; it has ${model.vocabSize}; use the model's own tokenizer`,
      { expected: source.vocabSize, actual: model.vocabSize },
    );
  }
}
