import type { Batch, LabelledBatch } from "../data/index.ts";
import type { ClassifierModel, LanguageModel } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { throwIfAborted } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { batchLoss, uploadBatch } from "./batch-loss.ts";
import { labelledObjective } from "./classifier-learner.ts";
import type { Objective } from "./learner.ts";
import type { Optimizer } from "./optimizer.ts";
import { scalerFor, type TrainingPrecision } from "./precision.ts";
import type { Schedule } from "./schedules.ts";
import { readStep, trainStep } from "./train-step.ts";

/** What a short run trains, and on what. */
export type ShortRunSubject =
  | { readonly model: LanguageModel; readonly batch: (step: number) => Batch | Promise<Batch> }
  | { readonly classifier: ClassifierModel; readonly batch: (step: number) => LabelledBatch | Promise<LabelledBatch> };

/** Options of {@link shortRun}, besides the subject. */
export interface ShortRunOptions {
  /** Disposed at the end. */
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly steps: number;
  readonly clipNorm?: number;
  /** Default: what the device is set to. */
  readonly precision?: TrainingPrecision;
  /** Ends the run early, as when it diverges or has reached what is wanted. */
  readonly until?: (loss: number) => boolean;
  readonly onStep?: (step: number, loss: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Trains for some steps without checkpoints or validation: a check of a learning rate, or of whether a model can learn one
 * batch by heart.
 *
 * @returns the loss of each step
 * @throws AbortError if `signal` fires
 */
export async function shortRun(options: ShortRunOptions & ShortRunSubject): Promise<number[]> {
  const { optimizer, schedule, steps, clipNorm, precision, until, onStep, signal } = options;
  const scaler = scalerFor(precision, undefined);
  const { parameters } = "classifier" in options ? options.classifier : options.model;
  const [{ device }] = flattenParameters(parameters).values() as unknown as [Tensor];
  const losses: number[] = [];
  try {
    for (let step = 0; step < steps; step++) {
      throwIfAborted(signal, "training");
      const { run, finish } = await objectiveOf(options, step, device);
      const lossScale = scaler?.scale;
      const settings = { optimizer, learningRate: schedule(step), clipNorm, precision, lossScale };
      const result = trainStep(parameters, [run], settings);
      finish();
      const { loss, gradNorm } = await readStep(result);
      if (!Number.isFinite(gradNorm)) optimizer.uncount();
      scaler?.update(!Number.isFinite(gradNorm));
      losses.push(loss);
      onStep?.(step, loss);
      if (!Number.isFinite(loss) || until?.(loss)) break;
    }
    return losses;
  } finally {
    optimizer.dispose();
  }
}

async function objectiveOf(subject: ShortRunSubject, step: number, device: Device): Promise<Objective> {
  // without dropout: what is asked is whether the model can learn
  if ("classifier" in subject) return labelledObjective(subject.classifier, await subject.batch(step), device);
  const batch = uploadBatch(await subject.batch(step), device);
  const run = (): Tensor => {
    const { loss, state } = batchLoss(subject.model, batch, batch);
    state.dispose();
    return loss;
  };
  return { run, finish: () => batch[Symbol.dispose]() };
}
