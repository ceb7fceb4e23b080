import { associativeRecall, type BatchSource, inductionHeads, selectiveCopying } from "../data/index.ts";
import type { CompleteTrainConfig } from "./config.ts";

/** Far from the seeds that people choose. */
const VALIDATION_SEED = 2 ** 40;

/**
 * The batches of a synthetic task.
 *
 * @param part - batches of validation are drawn apart from those of training, from the same seed
 * @returns undefined where the data is text or labelled sequences
 * @throws ConfigError if the task's sizes do not fit together
 */
export function taskSource(
  { data, batch, length, seed: given }: Pick<CompleteTrainConfig, "data" | "batch" | "length" | "seed">,
  part: "training" | "validation",
): BatchSource | undefined {
  if (!("task" in data) || data.task === "list-ops") return undefined;
  const seed = part === "training" ? given : given + VALIDATION_SEED;
  const shared = { batch, length, seed };
  switch (data.task) {
    case "induction-heads":
      return inductionHeads({
        ...{ ...shared, vocabSize: data.vocabSize },
        ...(part === "training" ? { queries: data.queries, queriesUntil: data.queriesUntil } : {}),
      });
    case "selective-copying":
      return selectiveCopying({ ...shared, vocabSize: data.vocabSize, tokens: data.tokens });
    case "associative-recall":
      return associativeRecall({ ...shared, vocabSize: data.vocabSize, pairs: data.pairs });
  }
}
