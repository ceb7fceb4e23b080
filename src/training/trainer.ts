import { eventLoopTurns } from "../generation/turns.ts";
import { MambaError, throwIfAborted } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import type { BestValidation } from "./checkpoint.ts";
import { ClassifierLearner } from "./classifier-learner.ts";
import { LanguageLearner } from "./language-learner.ts";
import type { Learner } from "./learner.ts";
import { scalerFor } from "./precision.ts";
import { RunState } from "./run-state.ts";
import { readStep, trainStep } from "./train-step.ts";
import { type AnyTrainerOptions, checkTrainerOptions, modelOf, type TrainingMetrics } from "./trainer-options.ts";

/**
 * Trains a model: an async iterator of the numbers of each step, with validation, checkpoints and resumption.
 *
 * A run that is stopped at any moment, killed while it writes a checkpoint too, and resumed on the same backend has the
 * same bits in the end as one that was not: data and schedule are functions of the step's number, and a checkpoint holds
 * parameters, the optimizer's tensors, the moving average, carried states and the loss scale.
 *
 * Gradients that are not finite never reach the parameters: the run stops with an error of code `DIVERGED`, unless a loss
 * scale can be lowered.
 *
 * @example
 * ```ts
 * const trainer = new Trainer({
 *   model, optimizer: adamW(), schedule: cosineSchedule({ peak: 1e-3, steps: 1000 }), steps: 1000, data,
 *   checkpoints: { store: await folderStore("runs/first"), resume: true },
 * });
 * for await (const { step, loss } of trainer) console.log(step, loss);
 * ```
 */
export class Trainer implements AsyncIterable<TrainingMetrics>, Disposable {
  readonly #options: AnyTrainerOptions;
  readonly #run: RunState;
  readonly #learner: Learner;
  #warnings: readonly string[] = [];
  #savedStep = 0;
  #opened = false;

  /** @throws ConfigError if an option cannot be, or the data has more ids or classes than the model */
  constructor(options: AnyTrainerOptions) {
    checkTrainerOptions(options);
    this.#options = { ...options, lossScaler: scalerFor(options.precision, options.lossScaler) };
    const model = modelOf(this.#options);
    this.#run = new RunState({ ...this.#options, model }, flattenParameters(model.parameters));
    this.#learner =
      "classifier" in this.#options
        ? new ClassifierLearner(this.#options, this.#run.device)
        : new LanguageLearner(this.#options, this.#run);
  }

  /** Steps taken. */
  get step(): number {
    return this.#run.step;
  }

  /** The best validation so far. */
  get best(): BestValidation | undefined {
    return this.#run.best;
  }

  /** What was odd about the checkpoint that the run goes on from. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /**
   * Takes steps until there are `steps` of them; leaving the loop early keeps what was done.
   *
   * @throws AbortError after the checkpoint, if the signal fires
   * @throws MambaError with code `DIVERGED`; parameters, optimizer and checkpoint are those before the step
   * @throws MambaError with code `FILE` if a checkpoint cannot be written; the one before stays
   * @throws StateError, CheckpointError if there is a checkpoint to resume and it does not fit
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<TrainingMetrics, void, void> {
    const { steps, signal, validation } = this.#options;
    const isPatient = (): boolean => this.#run.waited < (validation?.patience ?? Number.POSITIVE_INFINITY);
    const turn = eventLoopTurns(undefined, "training");
    await this.#open();
    let failed = false;
    try {
      while (this.#run.step < steps && isPatient() && !signal?.aborted) {
        const metrics = await this.#take();
        if (this.#run.step % (this.#options.checkpoints?.every ?? 1000) === 0) await this.save();
        yield metrics;
        // so that a signal is heard on devices that compute on this thread
        await turn();
      }
    } catch (error) {
      failed = true;
      throw error;
    } finally {
      if (!failed && this.#run.step !== this.#savedStep) await this.save();
    }
    throwIfAborted(signal, "training");
  }

  async #take(): Promise<TrainingMetrics> {
    const { schedule, optimizer, clipNorm, precision, lossScaler } = this.#options;
    const learningRate = schedule(this.#run.step);
    const { samples, objectives: start } = await this.#learner.batch(this.#run.step);
    const startedAt = performance.now();
    const objectives = start();
    const settings = { optimizer, learningRate, clipNorm, precision, lossScale: lossScaler?.scale };
    const result = trainStep(
      modelOf(this.#options).parameters,
      objectives.map(({ run }) => run),
      settings,
    );
    for (const { finish } of objectives) finish();
    const { loss, gradNorm } = await readStep(result);
    const skipped = this.#settle(loss, gradNorm, learningRate);
    const seconds = (performance.now() - startedAt) / 1000;
    this.#run.step++;
    return {
      step: this.#run.step,
      loss,
      learningRate,
      gradNorm,
      tokensPerSecond: samples / seconds,
      memory: this.#run.device.memory().peak,
      ...(skipped ? { skipped } : {}),
      ...(await this.#validate()),
    };
  }

  /** Takes note of a step's outcome; true if it was skipped. */
  #settle(loss: number, gradNorm: number, learningRate: number): true | undefined {
    const { lossScaler, optimizer } = this.#options;
    if (Number.isFinite(loss) && Number.isFinite(gradNorm)) {
      lossScaler?.update(false);
      this.#run.average?.update();
      return undefined;
    }
    optimizer.uncount();
    if (lossScaler && !lossScaler.exhausted) {
      lossScaler.update(true);
      return true;
    }
    const what = Number.isFinite(loss) ? `the gradients' norm is ${gradNorm}` : `the loss is ${loss}`;
    throw new MambaError(
      `training: the loss must stay finite; at step ${this.#run.step + 1} ${what}, at learning rate ${learningRate}; lower the rate, clip the gradients, or warm up longer`,
      "DIVERGED",
      { step: this.#run.step + 1, loss, gradNorm, learningRate },
    );
  }

  async #validate(): Promise<Partial<TrainingMetrics>> {
    const { validation, steps, checkpoints } = this.#options;
    if (!validation || (this.#run.step % validation.every !== 0 && this.#run.step !== steps)) return {};
    this.#run.average?.swap();
    try {
      const { loss, accuracy, auroc } = await this.#learner.validate();
      const isBest = !this.#run.best || loss < this.#run.best.loss;
      this.#run.waited = isBest ? 0 : this.#run.waited + 1;
      if (isBest) {
        this.#run.best = { step: this.#run.step, loss };
        if (checkpoints) await this.#run.saveBest(checkpoints.store);
      }
      return {
        validationLoss: loss,
        ...(accuracy === undefined ? {} : { validationAccuracy: accuracy }),
        ...(auroc === undefined ? {} : { validationAuroc: auroc }),
      };
    } finally {
      this.#run.average?.swap();
    }
  }

  /** Writes a checkpoint now, if there is somewhere to write it. */
  async save(): Promise<void> {
    const { checkpoints } = this.#options;
    this.#savedStep = this.#run.step;
    if (checkpoints) await this.#run.save(checkpoints.store);
  }

  /**
   * Puts the parameters with the least validation loss into the model, once training is over.
   *
   * @returns false if there are none: no validation, or no store to keep them
   */
  async loadBest(): Promise<boolean> {
    const { checkpoints } = this.#options;
    return checkpoints && this.#run.best ? this.#run.loadBest(checkpoints.store) : false;
  }

  async #open(): Promise<void> {
    const { checkpoints } = this.#options;
    if (this.#opened) return;
    this.#opened = true;
    if (checkpoints?.resume) this.#warnings = await this.#run.restore(checkpoints.store);
    this.#savedStep = this.#run.step;
  }

  /** Frees the moving average and carried states; model and optimizer stay the caller's. Idempotent. */
  dispose(): void {
    this.#run.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
