import {
  type CompleteTrainConfig,
  constantSchedule,
  optimizerOf,
  type ShortRunSubject,
  shortRun,
} from "../../training/index.ts";
import type { Terminal } from "../terminal.ts";
import type { TrainingSubject } from "./open-training.ts";

/** Options of checks. */
export interface CheckOptions {
  /** At most; default 500 for {@link overfitCheck}, 200 a run for {@link learningRateSweep}. */
  readonly steps?: number;
  readonly signal?: Terminal["signal"];
}

/** Whether a model can learn one batch by heart. */
export interface OverfitReport {
  readonly learnt: boolean;
  readonly steps: number;
  readonly firstLoss: number;
  readonly lastLoss: number;
  /** What the loss had to fall below. */
  readonly limit: number;
}

/** Nats a token; a model that says every token with 95 % certainty is at this. */
const OVERFIT_LIMIT = 0.05;

/**
 * Trains on the first batch alone until its loss is near zero: if that fails, the model, the loss or the targets are wrong.
 */
export async function overfitCheck(
  config: CompleteTrainConfig,
  subject: TrainingSubject,
  { steps = 500, signal }: CheckOptions,
): Promise<OverfitReport> {
  const losses = await shortRun({
    ...onBatches(subject, () => 0),
    optimizer: optimizerOf({ optimizer: { ...config.optimizer, weightDecay: 0 } }),
    schedule: constantSchedule({ peak: config.schedule.peak }),
    clipNorm: config.clipNorm ?? 1,
    precision: config.precision,
    steps,
    until: (loss) => loss < OVERFIT_LIMIT,
    signal,
  });
  const lastLoss = losses.at(-1)!;
  return {
    learnt: lastLoss < OVERFIT_LIMIT,
    steps: losses.length,
    firstLoss: losses[0]!,
    lastLoss,
    limit: OVERFIT_LIMIT,
  };
}

/** A learning rate and where it led. */
export interface SweepRow {
  readonly learningRate: number;
  /** Steps taken; fewer than asked for where the loss was no number any more. */
  readonly steps: number;
  /** Mean of the last tenth; not finite where the run diverged. */
  readonly loss: number;
}

/** One short run for each learning rate, each from the same parameters. */
export async function learningRateSweep(
  config: CompleteTrainConfig,
  rates: readonly number[],
  renewed: () => TrainingSubject & Disposable,
  { steps = 200, signal }: CheckOptions,
): Promise<SweepRow[]> {
  const rows: SweepRow[] = [];
  for (const learningRate of rates) {
    const subject = renewed();
    try {
      const losses = await shortRun({
        ...onBatches(subject, (step) => step),
        optimizer: optimizerOf(config),
        schedule: constantSchedule({ peak: learningRate, warmup: config.schedule.warmup }),
        clipNorm: config.clipNorm,
        precision: config.precision,
        steps,
        signal,
      });
      const last = losses.slice(-Math.max(1, Math.floor(losses.length / 10)));
      rows.push({ learningRate, steps: losses.length, loss: last.reduce((sum, loss) => sum + loss, 0) / last.length });
    } finally {
      subject[Symbol.dispose]();
    }
  }
  return rows;
}

/** What a short run trains, on the batches that each step shall have. */
function onBatches(subject: TrainingSubject, numberOf: (step: number) => number): ShortRunSubject {
  if ("classifier" in subject) {
    const { classifier, data } = subject;
    return { classifier, batch: (step) => data.batch(numberOf(step)) };
  }
  const { model, data } = subject;
  return { model, batch: (step) => data.batch(numberOf(step)) };
}
