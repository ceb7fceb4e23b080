import {
  type AnyTrainerOptions,
  type CompleteTrainConfig,
  folderStore,
  optimizerOf,
  scheduleOf,
  Trainer,
  type TrainingMetrics,
} from "../../training/index.ts";
import { warnAll } from "../open-model.ts";
import type { Session } from "../program.ts";
import type { Terminal } from "../terminal.ts";
import type { OpenTraining } from "./open-training.ts";
import { provenanceOf } from "./provenance.ts";
import type { RunFolder } from "./run-folder.ts";
import { formatDuration, TrainingProgress } from "./training-progress.ts";

/** What a run is made of. */
export interface RunSetup extends Pick<OpenTraining, "device" | "subject" | "validationBatches" | "save"> {
  readonly config: CompleteTrainConfig;
  readonly folder: RunFolder;
  readonly resume: boolean;
}

/** How a run went. */
interface RunReport {
  readonly folder: string;
  /** Steps taken in all. */
  readonly steps: number;
  /** Mean of the last tenth of the steps, at most 100. */
  readonly loss: number;
  /** The best. */
  readonly validationLoss?: number;
  /** Of the last validation. */
  readonly validationAccuracy?: number;
  readonly validationAuroc?: number;
  readonly seconds: number;
}

/** Runs a training and says how it went. */
export async function reportRun(setup: RunSetup, session: Session, { json }: { readonly json?: true }): Promise<void> {
  const report = await runTraining(setup, session.terminal);
  if (json) return session.writeJson(report);
  const { steps, seconds, loss, validationLoss, validationAccuracy, validationAuroc, folder } = report;
  const parts = [
    `loss ${loss.toFixed(4)}`,
    ...(validationLoss === undefined ? [] : [`validation ${validationLoss.toFixed(4)}`]),
    ...(validationAccuracy === undefined ? [] : [`accuracy ${(100 * validationAccuracy).toFixed(2)} %`]),
    ...(validationAuroc === undefined ? [] : [`AUROC ${validationAuroc.toFixed(4)}`]),
  ];
  return session.terminal.write(
    `${steps} steps in ${formatDuration(seconds)}: ${parts.join(", ")}; the model is ${folder}/model\n`,
  );
}

/**
 * Trains as a configuration says, with progress on standard error, a line of metrics a step, and the loss curves and the
 * model at the end, also when the run is stopped.
 *
 * @throws MambaError with code `DIVERGED` if the loss is no number any more
 */
async function runTraining(setup: RunSetup, terminal: Terminal): Promise<RunReport> {
  const { config, folder, device } = setup;
  await folder.writeJson("config.json", config);
  await folder.writeJson("provenance.json", provenanceOf(device, config.seed));
  const startedAt = performance.now();
  const log = new MetricsLog(folder, config.steps, terminal, setup.resume);
  const trainer = new Trainer(await optionsOf(setup, terminal));
  try {
    await follow(trainer, log);
    await saveModel(trainer, setup);
    warnAll(trainer.warnings, terminal);
    return reportOf(setup, trainer, log.all, (performance.now() - startedAt) / 1000);
  } finally {
    trainer.dispose();
  }
}

async function follow(trainer: Trainer, log: MetricsLog): Promise<void> {
  try {
    for await (const metrics of trainer) await log.add(metrics);
  } finally {
    await log.close();
  }
}

/** The best model if there was validation, else the last. */
async function saveModel(trainer: Trainer, { save, folder }: RunSetup): Promise<void> {
  await trainer.loadBest();
  await save(folder);
}

async function optionsOf(setup: RunSetup, terminal: Terminal): Promise<AnyTrainerOptions> {
  const { config, subject, folder, resume, validationBatches } = setup;
  const { steps, microBatches, clipNorm, average, precision, recompute, checkpointEvery, validation, seed } = config;
  const { every, batches = 8, patience, accuracy = "task" in config.data } = validation ?? {};
  const held = { every: every!, batches: Math.min(batches, validationBatches ?? batches), patience, accuracy };
  const common = {
    optimizer: optimizerOf(config),
    schedule: scheduleOf(config),
    ...{ steps, microBatches, clipNorm, average, precision },
    checkpoints: { store: await folderStore(folder.path), every: checkpointEvery, resume },
    signal: terminal.signal,
  };
  // where a configuration asks for no validation, its data is not used
  if ("classifier" in subject) {
    const { classifier, data, validation: heldOut } = subject;
    return {
      ...common,
      classifier,
      data,
      seed,
      ...(every && heldOut ? { validation: { ...held, data: heldOut } } : {}),
    };
  }
  const { model, data, validation: heldOut } = subject;
  return { ...common, model, data, recompute, ...(every && heldOut ? { validation: { ...held, data: heldOut } } : {}) };
}

/** Keeps the lines of a run: in its folder, on the terminal and for the curve. */
class MetricsLog {
  readonly all: TrainingMetrics[] = [];
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

  async add(metrics: TrainingMetrics): Promise<void> {
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
    // a run that was over already
    if (!this.#progress && this.#resume) this.all.push(...this.#folder.metrics());
    if (this.all.length > 0) await this.#folder.drawLoss(`loss of ${this.#folder.path}`, this.all);
  }
}

function reportOf(setup: RunSetup, { best }: Trainer, all: readonly TrainingMetrics[], seconds: number): RunReport {
  const last = all.findLast(({ validationLoss }) => validationLoss !== undefined);
  const { validationAccuracy: accuracy, validationAuroc: auroc } = last ?? {};
  return {
    folder: setup.folder.path,
    steps: all.at(-1)?.step ?? 0,
    loss: meanOfLast(all),
    ...(best ? { validationLoss: best.loss } : {}),
    ...(accuracy === undefined ? {} : { validationAccuracy: accuracy }),
    ...(auroc === undefined ? {} : { validationAuroc: auroc }),
    seconds,
  };
}

/** Mean loss of the last tenth of the steps, at most 100: one step's loss is noise. */
function meanOfLast(all: readonly TrainingMetrics[]): number {
  const count = Math.min(100, Math.max(1, Math.floor(all.length / 10)));
  const last = all.slice(-count);
  return last.reduce((sum, { loss }) => sum + loss, 0) / last.length;
}
