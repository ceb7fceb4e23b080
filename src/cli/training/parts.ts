import type { BatchSource } from "../../data/index.ts";
import type { LanguageModel } from "../../models/index.ts";
import type { Tokenizer } from "../../text/index.ts";
import type { CompleteTrainConfig, Optimizer, Schedule } from "../../training/index.ts";
import type { Provenance } from "./provenance.ts";
import type { Metrics } from "./run-folder.ts";

/** What a run learns from. */
export interface TrainingData {
  readonly training: BatchSource;
  readonly validation?: BatchSource;
  /** Of text. */
  readonly tokenizer?: Tokenizer;
}

/** What a training loop takes. */
export interface TrainingRun {
  readonly model: LanguageModel;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly steps: number;
  readonly data: BatchSource;
  readonly microBatches: number;
  readonly clipNorm?: number;
  readonly average?: number;
  readonly validation?: BatchSource;
  readonly validateEvery?: number;
  readonly validationBatches?: number;
  /** Validations without a better loss before the run ends. */
  readonly earlyStopping?: number;
  readonly checkpointEvery: number;
  /** Where checkpoints go. */
  readonly folder: string;
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly provenance: Provenance;
  readonly resume: boolean;
}

/** The parts of training that the verbs put together. */
export interface TrainingParts {
  /**
   * Opens the data of a configuration.
   *
   * @param tokenizer - of the model that is trained on; undefined for a new one
   */
  openData(config: CompleteTrainConfig, tokenizer: Tokenizer | undefined): Promise<TrainingData>;
  /** Trains; gives the numbers of each step, counted from 1, and writes checkpoints. */
  train(run: TrainingRun): AsyncIterable<Metrics>;
}
