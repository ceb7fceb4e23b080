import type { Batch } from "../data/index.ts";
import type { LanguageModel } from "../models/index.ts";
import { throwIfAborted } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { batchLoss, uploadBatch } from "./batch-loss.ts";
import type { Optimizer } from "./optimizer.ts";
import { scalerFor, type TrainingPrecision } from "./precision.ts";
import type { Schedule } from "./schedules.ts";
import { readStep, trainStep } from "./train-step.ts";

/** Options of {@link shortRun}. */
export interface ShortRunOptions {
  readonly model: LanguageModel;
  /** Disposed at the end. */
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly steps: number;
  readonly batch: (step: number) => Batch | Promise<Batch>;
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
export async function shortRun(options: ShortRunOptions): Promise<number[]> {
  const { model, optimizer, schedule, steps, clipNorm, precision, until, onStep, signal } = options;
  const scaler = scalerFor(precision, undefined);
  const [{ device }] = flattenParameters(model.parameters).values() as unknown as [Tensor];
  const losses: number[] = [];
  try {
    for (let step = 0; step < steps; step++) {
      throwIfAborted(signal, "training");
      const batch = uploadBatch(await options.batch(step), device);
      const lossScale = scaler?.scale;
      const settings = { optimizer, learningRate: schedule(step), clipNorm, precision, lossScale };
      const objective = (): Tensor => {
        const { loss, state } = batchLoss(model, batch, batch);
        state.dispose();
        return loss;
      };
      const result = trainStep(model.parameters, [objective], settings);
      batch[Symbol.dispose]();
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
