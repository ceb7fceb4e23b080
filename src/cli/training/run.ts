import type { LanguageModel } from "../../models/index.ts";
import type { Device } from "../../tensor/device.ts";
import { MambaError } from "../../tensor/errors.ts";
import { type CompleteTrainConfig, optimizerOf, scheduleOf } from "../../training/index.ts";
import type { Terminal } from "../terminal.ts";
import type { TrainingData, TrainingParts, TrainingRun } from "./parts.ts";
import { provenanceOf } from "./provenance.ts";
import type { Metrics, RunFolder } from "./run-folder.ts";
import { TrainingProgress } from "./training-progress.ts";

/** What a run is made of. */
export interface RunSetup {
  readonly config: CompleteTrainConfig;
  readonly model: LanguageModel;
  readonly device: Device;
  readonly data: TrainingData;
  readonly folder: RunFolder;
  readonly resume: boolean;
}

/** How a run went. */
export interface RunReport {
  readonly folder: string;
  /** Steps taken in all. */
  readonly steps: number;
  readonly loss: number;
  readonly validationLoss?: number;
  readonly seconds: number;
}

/**
 * Trains as a configuration says, with progress on standard error, a line of metrics a step and the loss curves at the end,
 * also when the run is stopped.
 *
 * @throws MambaError with code `DIVERGED` if the loss is no number any more
 */
export async function runTraining(setup: RunSetup, parts: TrainingParts, terminal: Terminal): Promise<RunReport> {
  const { config, folder, device } = setup;
  const provenance = provenanceOf(device, config.seed);
  await folder.writeJson("config.json", config);
  await folder.writeJson("provenance.json", provenance);
  const startedAt = performance.now();
  const log = new MetricsLog(folder, config.steps, terminal, setup.resume);
  try {
    for await (const metrics of parts.train({ ...optionsOf(setup, terminal), provenance })) {
      await log.add(metrics);
      if (!Number.isFinite(metrics.loss)) throw divergence(metrics, log.all);
    }
  } finally {
    await log.close();
  }
  const validated = log.all.findLast(({ validationLoss }) => validationLoss !== undefined);
  return {
    folder: folder.path,
    steps: log.all.at(-1)?.step ?? 0,
    loss: meanOfLast(log.all),
    ...(validated ? { validationLoss: validated.validationLoss } : {}),
    seconds: (performance.now() - startedAt) / 1000,
  };
}

function optionsOf(
  { config, model, data, folder, resume }: RunSetup,
  terminal: Terminal,
): Omit<TrainingRun, "provenance"> {
  const { steps, microBatches, clipNorm, average, checkpointEvery, seed, validation } = config;
  return {
    model,
    optimizer: optimizerOf(config),
    schedule: scheduleOf(config),
    steps,
    data: data.training,
    microBatches,
    clipNorm,
    average,
    checkpointEvery,
    seed,
    folder: folder.path,
    resume,
    signal: terminal.signal,
    ...(validation && data.validation
      ? {
          validation: data.validation,
          validateEvery: validation.every,
          validationBatches: validation.batches,
          earlyStopping: validation.patience,
        }
      : {}),
  };
}

/** Keeps the lines of a run: in its folder, on the terminal and for the curve. */
class MetricsLog {
  readonly all: Metrics[] = [];
  readonly #folder: RunFolder;
  readonly #steps: number;
  readonly #terminal: Terminal;
  readonly #resume: boolean;
  #progress: TrainingProgress | undefined;

  constructor(folder: RunFolder, steps: number, terminal: Terminal, resume: boolean) {
    this.#folder = folder;
    this.#steps = steps;
    this.#terminal = terminal;
    this.#resume = resume;
  }

  async add(metrics: Metrics): Promise<void> {
    if (!this.#progress) {
      // only the first step tells where a resumed run goes on
      this.all.push(...(await this.#folder.startMetrics(this.#resume ? metrics.step - 1 : 0)));
      this.#progress = new TrainingProgress(
        this.#terminal,
        this.#steps,
        this.all.map(({ loss }) => loss),
      );
    }
    this.all.push(metrics);
    this.#folder.append(metrics);
    this.#progress.update(metrics);
  }

  async close(): Promise<void> {
    this.#progress?.clear();
    if (this.all.length > 0) await this.#folder.drawLoss(`loss of ${this.#folder.path}`, this.all);
  }
}

function divergence({ step, learningRate }: Metrics, all: readonly Metrics[]): MambaError {
  const last = all.findLast(({ loss }) => Number.isFinite(loss))?.loss;
  const before = last === undefined ? "" : ` after ${last.toFixed(4)}`;
  return new MambaError(
    `training: the loss must stay finite; it is no number at step ${step}${before}, at learning rate ${learningRate}; lower schedule.peak, set clipNorm, or add a warm-up`,
    "DIVERGED",
    { step, learningRate },
  );
}

/** Mean loss of the last tenth of the steps, at most 100: one step's loss is noise. */
function meanOfLast(all: readonly Metrics[]): number {
  const count = Math.min(100, Math.max(1, Math.floor(all.length / 10)));
  const last = all.slice(-count);
  return last.reduce((sum, { loss }) => sum + loss, 0) / last.length;
}
