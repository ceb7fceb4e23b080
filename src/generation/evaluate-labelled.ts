import type { LabelledSource } from "../data/index.ts";
import type { ClassifierModel } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { areaUnderRoc } from "./area-under-roc.ts";
import { uploadLabelled } from "./labelled-tensors.ts";
import { eventLoopTurns } from "./turns.ts";

/** Options of {@link evaluateLabelled}. */
export interface EvaluateLabelledOptions {
  /** Batches, from number 0. */
  readonly batches: number;
  readonly progress?: (event: { done: number; total: number; accuracy: number }) => void;
  readonly signal?: AbortSignal | undefined;
}

/** How well a classifier tells the classes of sequences. */
export interface LabelledEvaluation {
  /** Mean cross-entropy in nats. */
  readonly loss: number;
  /** Share of sequences whose class has the largest logit; the first of equal ones counts. */
  readonly accuracy: number;
  /** Of two classes, where there are sequences of both: the area under the receiver operating characteristic of class 1. */
  readonly auroc?: number;
  /** Sequences. */
  readonly count: number;
}

/**
 * Mean loss, accuracy and, for two classes, the area under the curve over the first batches of a source.
 *
 * @throws AbortError between batches
 */
export async function evaluateLabelled(
  model: ClassifierModel,
  device: Device,
  source: LabelledSource,
  { batches, progress, signal }: EvaluateLabelledOptions,
): Promise<LabelledEvaluation> {
  const { classes } = model.config;
  const turn = eventLoopTurns(signal, "evaluate");
  const scores: number[] = [];
  const labels: number[] = [];
  let loss = 0;
  let correct = 0;
  for (let i = 0; i < batches; i++) {
    await turn();
    const batch = await source.batch(i);
    const logits = await logitsOf(model, device, batch);
    batch.labels.forEach((label, row) => {
      const own = logits.subarray(row * classes, (row + 1) * classes);
      loss += logSumExp(own) - own[label]!;
      correct += own.indexOf(Math.max(...own)) === label ? 1 : 0;
      scores.push(own[1]! - own[0]!);
      labels.push(label);
    });
    progress?.({ done: i + 1, total: batches, accuracy: correct / labels.length });
  }
  const count = labels.length;
  const hasArea = classes === 2 && labels.includes(0) && labels.includes(1);
  return {
    ...{ loss: loss / count, accuracy: correct / count, count },
    ...(hasArea ? { auroc: areaUnderRoc(scores, labels) } : {}),
  };
}

async function logitsOf(
  model: ClassifierModel,
  device: Device,
  batch: Awaited<ReturnType<LabelledSource["batch"]>>,
): Promise<Float64Array> {
  const uploaded = uploadLabelled(batch, device);
  const logits = model.forward(uploaded.x, uploaded.options);
  uploaded[Symbol.dispose]();
  try {
    return Float64Array.from(await logits.read(), Number);
  } finally {
    logits.dispose();
  }
}

function logSumExp(logits: Float64Array): number {
  const largest = Math.max(...logits);
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}
