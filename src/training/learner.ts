import type { Tensor } from "../tensor/tensor.ts";

/** The loss of a part of a batch. */
export interface Objective {
  /** The part's share of the loss, a tensor of one element; run while gradients are recorded. */
  readonly run: () => Tensor;
  /** Frees what it used. */
  readonly finish: () => void;
}

/** The batch of a step. */
export interface LearnerBatch {
  /** Tokens or samples, those of padding included. */
  readonly samples: number;
  /** One for each micro-batch; their mean is the batch's mean loss. */
  objectives(): Objective[];
}

/** How well a model does on data that is not trained on. */
export interface ValidationResult {
  readonly loss: number;
  readonly accuracy?: number | undefined;
  readonly auroc?: number | undefined;
}

/** What makes losses of batches: all that a trainer asks about its model and data. */
export interface Learner {
  batch(step: number): Promise<LearnerBatch>;
  validate(): Promise<ValidationResult>;
}
