import type { Batch, BatchSource } from "../data/index.ts";
import type { LanguageModel, RecurrentState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import { chunkForLogits, scoreRows } from "./score-rows.ts";
import { eventLoopTurns, turnLength } from "./turns.ts";

/** Options of {@link evaluateBatches}. */
export interface EvaluateBatchesOptions {
  /** Batches, from number 0. */
  readonly batches: number;
  /** Count right predictions too. Default false. */
  readonly accuracy?: boolean;
  readonly progress?: (event: { done: number; total: number; loss: number }) => void;
  readonly signal?: AbortSignal;
}

/** How well a model predicts what batches score. */
export interface BatchEvaluation {
  /** Mean cross-entropy of the scored targets in nats. */
  readonly loss: number;
  /** Share of scored targets that are the model's first choice, if asked for. */
  readonly accuracy?: number;
  /** Scored targets. */
  readonly predictions: number;
}

interface Sums {
  loss: number;
  correct: number;
  scored: number;
}

/**
 * Mean loss, and accuracy where asked for, over the first batches of a source. Rows are worked through in chunks with the
 * state carried, so that a row may be far longer than what memory holds at once.
 *
 * @throws ConfigError if no batch has a scored target
 * @throws AbortError between chunks
 */
export async function evaluateBatches(
  model: LanguageModel,
  device: Device,
  source: BatchSource,
  { batches, accuracy = false, progress, signal }: EvaluateBatchesOptions,
): Promise<BatchEvaluation> {
  const sums: Sums = { loss: 0, correct: 0, scored: 0 };
  const turn = eventLoopTurns(signal, "evaluate");
  let state: RecurrentState | undefined;
  try {
    for (let i = 0; i < batches; i++) {
      const batch = await source.batch(i);
      if (!batch.continues) {
        state?.dispose();
        state = undefined;
      }
      for (const chunk of chunks(batch, chunkLength(model, device, batch, accuracy))) {
        const before = state;
        state = undefined;
        await turn();
        const score = await scoreRows(model, device, chunk, before, accuracy);
        state = score.state;
        sums.loss += score.lossSum;
        sums.correct += score.correct;
        sums.scored += score.scored;
      }
      progress?.({ done: i + 1, total: batches, loss: sums.loss / sums.scored });
    }
  } finally {
    state?.dispose();
  }
  if (sums.scored > 0) return summary(sums, accuracy);
  throw new ConfigError("evaluateBatches: the batches must score at least one target; they score none; take more", {
    batches,
  });
}

function summary({ loss, correct, scored }: Sums, accuracy: boolean): BatchEvaluation {
  return { loss: loss / scored, ...(accuracy ? { accuracy: correct / scored } : {}), predictions: scored };
}

function chunkLength(model: LanguageModel, device: Device, { batch, length, segmentIds }: Batch, accuracy: boolean) {
  // a chunk's first segment would go on from the state, even if its document begins there
  if (segmentIds) return length;
  return Math.min(length, turnLength(device), accuracy ? chunkForLogits(batch, model.vocabSize) : length);
}

function* chunks(whole: Batch, length: number): Generator<Batch> {
  if (length >= whole.length) return yield whole;
  for (let at = 0; at < whole.length; at += length) {
    const size = Math.min(length, whole.length - at);
    const columns = (data: Int32Array): Int32Array => {
      const out = new Int32Array(whole.batch * size);
      for (let row = 0; row < whole.batch; row++) {
        out.set(data.subarray(row * whole.length + at, row * whole.length + at + size), row * size);
      }
      return out;
    };
    yield { ids: columns(whole.ids), targets: columns(whole.targets), batch: whole.batch, length: size };
  }
}
