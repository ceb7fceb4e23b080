import type { Batch } from "../data/index.ts";
import type { LanguageModel, RecurrentState } from "../models/index.ts";
import { crossEntropy } from "../ops/cross-entropy/index.ts";
import { reshape } from "../ops/movement/index.ts";
import type { Device } from "../tensor/device.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** Most logits that are held at once to count right predictions. */
const MAX_LOGITS = 2 ** 24;

/** Tokens of a row whose logits may be held at once. */
export function chunkForLogits(rows: number, vocabSize: number): number {
  return Math.max(1, Math.floor(MAX_LOGITS / (rows * vocabSize)));
}

/** How well rows of tokens were predicted. */
export interface Score {
  /** Nats. */
  readonly lossSum: number;
  /** Predictions whose largest logit is the target's; 0 unless asked for. */
  readonly correct: number;
  /** Targets that count: those from 0. */
  readonly scored: number;
  /** After the last token; the caller owns it. */
  readonly state: RecurrentState;
}

type Rows = Pick<Batch, "ids" | "targets" | "batch" | "length" | "segmentIds">;

/** What a model says about rows. */
interface Prediction {
  readonly losses?: Tensor;
  readonly logits?: Tensor;
  readonly state: RecurrentState;
}

/**
 * Predicts the targets of rows.
 *
 * @param before - the state they go on from; consumed
 * @param accuracy - whether to count right predictions, for which all logits come to the host
 */
export async function scoreRows(
  model: LanguageModel,
  device: Device,
  { ids, targets, segmentIds, batch, length }: Rows,
  before: RecurrentState | undefined,
  accuracy: boolean,
): Promise<Score> {
  const scored = targets.reduce((count, target) => count + (target >= 0 ? 1 : 0), 0);
  const made = scope(() => {
    const put = (data: Int32Array): Tensor => tensor(data, [batch, length], { device });
    const options = { state: before, ...(segmentIds ? { segmentIds: put(segmentIds) } : {}) };
    if (scored === 0) return model.forward(put(ids), { ...options, logits: "none" }) as Prediction;
    return predict(model, put(ids), put(targets), options, accuracy);
  });
  before?.dispose();
  try {
    let lossSum = 0;
    for (const loss of (await made.losses?.read()) ?? []) lossSum += loss;
    const correct = made.logits ? countRight(await made.logits.read(), targets) : 0;
    return { lossSum, correct, scored, state: made.state };
  } catch (error) {
    made.state.dispose();
    throw error;
  } finally {
    made.losses?.dispose();
    made.logits?.dispose();
  }
}

function predict(
  model: LanguageModel,
  ids: Tensor,
  targets: Tensor,
  options: { readonly state: RecurrentState | undefined; readonly segmentIds?: Tensor },
  accuracy: boolean,
): Prediction {
  if (!accuracy) {
    const { losses, state } = model.losses(ids, targets, options);
    return { losses, state };
  }
  const { logits, state } = model.forward(ids, { ...options, logits: "all" });
  const rows = reshape(logits!, [ids.size, model.vocabSize]);
  const { losses } = crossEntropy(rows, reshape(targets, [ids.size]), { reduction: "none" });
  return { losses, logits: rows, state };
}

/** How many targets have the first of the largest logits of their row. */
function countRight(logits: TypedArray, targets: Int32Array): number {
  const width = logits.length / targets.length;
  let right = 0;
  targets.forEach((target, row) => {
    if (target < 0) return;
    const start = row * width;
    let best = start;
    for (let i = start + 1; i < start + width; i++) if (logits[i]! > logits[best]!) best = i;
    if (best - start === target) right++;
  });
  return right;
}
