import type { Batch } from "../data/index.ts";
import { evaluateBatches } from "../generation/evaluate-batches.ts";
import { eventLoopTurns } from "../generation/turns.ts";
import { MambaError, throwIfAborted } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { batchLoss, countScored, splitBatch, uploadBatch } from "./batch-loss.ts";
import type { BestValidation } from "./checkpoint.ts";
import { scalerFor } from "./precision.ts";
import { RunState } from "./run-state.ts";
import { readStep, trainStep } from "./train-step.ts";
import { checkTrainerOptions, type TrainerOptions, type TrainingMetrics } from "./trainer-options.ts";

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
  readonly #options: TrainerOptions;
  readonly #run: RunState;
  #warnings: readonly string[] = [];
  #savedStep = 0;
  #opened = false;

  /** @throws ConfigError if an option cannot be, or the data has more ids than the model */
  constructor(options: TrainerOptions) {
    checkTrainerOptions(options);
    this.#options = { ...options, lossScaler: scalerFor(options.precision, options.lossScaler) };
    this.#run = new RunState(this.#options, flattenParameters(options.model.parameters));
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
    const { schedule, data, model, optimizer, clipNorm, precision, lossScaler, microBatches = 1 } = this.#options;
    const learningRate = schedule(this.#run.step);
    const batch = await data.batch(this.#run.step);
    const startedAt = performance.now();
    const objectives = this.#objectives(splitBatch(batch, microBatches), countScored(batch.targets) / microBatches);
    const settings = { optimizer, learningRate, clipNorm, precision, lossScale: lossScaler?.scale };
    const result = trainStep(
      model.parameters,
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
      tokensPerSecond: batch.ids.length / seconds,
      memory: this.#run.device.memory().peak,
      ...(skipped ? { skipped } : {}),
      ...(await this.#validate()),
    };
  }

  /** One objective for each micro-batch; `finish` frees what it used and keeps its state for the next step. */
  #objectives(parts: readonly Batch[], scored: number): { run: () => Tensor; finish: () => void }[] {
    const { model, recompute } = this.#options;
    if (!parts[0]!.continues) this.#run.forgetCarried();
    return parts.map((part, i) => {
      const uploaded = uploadBatch(part, this.#run.device);
      const before = this.#run.carried[i];
      const run = (): Tensor => {
        const { loss, state } = batchLoss(model, uploaded, { scored, state: before, recompute });
        // aliases outlive the scope that the step runs in
        const kept = state.tensors().map((tensor) => tensor.alias());
        this.#run.carried[i] = model.stateFrom(kept, state.position);
        state.dispose();
        return loss;
      };
      const finish = (): void => {
        uploaded[Symbol.dispose]();
        before?.dispose();
      };
      return { run, finish };
    });
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

  async #validate(): Promise<Pick<TrainingMetrics, "validationLoss" | "validationAccuracy">> {
    const { validation, steps, model, checkpoints } = this.#options;
    if (!validation || (this.#run.step % validation.every !== 0 && this.#run.step !== steps)) return {};
    const { data, batches = 8, accuracy = false } = validation;
    this.#run.average?.swap();
    try {
      const result = await evaluateBatches(model, this.#run.device, data, { batches, accuracy });
      const isBest = !this.#run.best || result.loss < this.#run.best.loss;
      this.#run.waited = isBest ? 0 : this.#run.waited + 1;
      if (isBest) {
        this.#run.best = { step: this.#run.step, loss: result.loss };
        if (checkpoints) await this.#run.saveBest(checkpoints.store);
      }
      return { validationLoss: result.loss, ...(accuracy ? { validationAccuracy: result.accuracy } : {}) };
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
