import type { Batch } from "../data/index.ts";
import { evaluateBatches } from "../generation/evaluate-batches.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { batchLoss, countScored, splitBatch, uploadBatch } from "./batch-loss.ts";
import type { Learner, LearnerBatch, Objective, ValidationResult } from "./learner.ts";
import type { RunState } from "./run-state.ts";
import type { TrainerOptions } from "./trainer-options.ts";

type Options = Pick<TrainerOptions, "model" | "data" | "validation" | "microBatches" | "recompute">;

/** A language model that predicts the targets of token rows; states are carried where rows go on. */
export class LanguageLearner implements Learner {
  readonly #options: Options;
  readonly #run: RunState;

  constructor(options: Options, run: RunState) {
    this.#options = options;
    this.#run = run;
  }

  async batch(step: number): Promise<LearnerBatch> {
    const { data, microBatches = 1 } = this.#options;
    const batch = await data.batch(step);
    const parts = (): Objective[] =>
      this.#objectives(splitBatch(batch, microBatches), countScored(batch.targets) / microBatches);
    return { samples: batch.ids.length, objectives: parts };
  }

  /** One objective for each micro-batch; `finish` keeps its state for the next step. */
  #objectives(parts: readonly Batch[], scored: number): Objective[] {
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

  validate(): Promise<ValidationResult> {
    const { model, validation } = this.#options;
    const { data, batches = 8, accuracy = false } = validation!;
    return evaluateBatches(model, this.#run.device, data, { batches, accuracy });
  }
}
