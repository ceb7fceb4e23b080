import type { Batch } from "../data/index.ts";
import type { LanguageModel } from "../models/index.ts";
import { div, maximum } from "../ops/elementwise/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { Device } from "../tensor/device.ts";
import { throwIfAborted } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Schedule } from "./schedules.ts";
import { trainStep } from "./train-step.ts";

/** Options of {@link shortRun}. */
export interface ShortRunOptions {
  readonly model: LanguageModel;
  /** Disposed at the end. */
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly steps: number;
  readonly batch: (step: number) => Batch | Promise<Batch>;
  readonly clipNorm?: number;
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
  const { model, optimizer, schedule, steps, clipNorm, until, onStep, signal } = options;
  const [{ device }] = flattenParameters(model.parameters).values() as unknown as [Tensor];
  const losses: number[] = [];
  try {
    for (let step = 0; step < steps; step++) {
      throwIfAborted(signal, "training");
      const batch = uploaded(await options.batch(step), device);
      const settings = { optimizer, learningRate: schedule(step), clipNorm };
      const result = trainStep(model.parameters, [() => meanLoss(model, batch)], settings);
      for (const one of Object.values(batch)) one?.dispose();
      result.gradientNorm.dispose();
      const loss = await result.loss.item();
      result.loss.dispose();
      losses.push(loss);
      onStep?.(step, loss);
      if (!Number.isFinite(loss) || until?.(loss)) break;
    }
    return losses;
  } finally {
    optimizer.dispose();
  }
}

interface BatchTensors {
  readonly ids: Tensor;
  readonly targets: Tensor;
  readonly segmentIds?: Tensor;
}

function uploaded({ ids, targets, segmentIds, batch, length }: Batch, device: Device): BatchTensors {
  const shape = [batch, length];
  return {
    ids: tensor(ids, shape, { device }),
    targets: tensor(targets, shape, { device }),
    ...(segmentIds ? { segmentIds: tensor(segmentIds, shape, { device }) } : {}),
  };
}

function meanLoss(model: LanguageModel, { ids, targets, segmentIds }: BatchTensors): Tensor {
  const { losses, valid } = model.losses(ids, targets, { segmentIds });
  return div(sum(losses), maximum(sum(valid), 1));
}
