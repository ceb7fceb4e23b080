import type { BatchSource } from "../../data/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { type CompleteTrainConfig, taskSource } from "../../training/index.ts";
import type { Terminal } from "../terminal.ts";
import type { ModelSource } from "./open-training.ts";

/** What a run learns from. */
export interface TrainingData {
  readonly training: BatchSource;
  readonly validation?: BatchSource;
  /** Files of the tokenizer by name, for the model's folder; none for tasks, whose ids are no text. */
  readonly tokenizerFiles: Readonly<Record<string, unknown>>;
  close(): Promise<void>;
}

/**
 * Opens the data of a configuration.
 *
 * @param source - the model that is trained on, with its tokenizer; undefined for a new one
 * @throws ConfigError if there is too little data, or it cannot be
 */
export async function openData(
  config: CompleteTrainConfig,
  _source: ModelSource | undefined,
  _cacheFolder: string | undefined,
  _terminal: Terminal,
): Promise<TrainingData> {
  const training = taskSource(config, "training");
  if (!training) throw new ConfigError("train: text data is not there yet", {});
  return {
    training,
    validation: taskSource(config, "validation"),
    tokenizerFiles: {},
    close: async () => {},
  };
}
