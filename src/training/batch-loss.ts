import type { Batch } from "../data/index.ts";
import type { LanguageModel, Recompute, RecurrentState } from "../models/index.ts";
import { mul } from "../ops/elementwise/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** Rows of a batch on the device. */
export interface DeviceBatch extends Disposable {
  /** [batch length] */
  readonly ids: Tensor;
  /** [batch length], -1 where nothing is scored. */
  readonly targets: Tensor;
  readonly segmentIds?: Tensor;
  /** Targets that are scored. */
  readonly scored: number;
}

/**
 * Cuts a batch into parts of as many rows each, to be worked through one after the other.
 *
 * @throws ConfigError if the rows cannot be shared out evenly
 */
export function splitBatch(batch: Batch, parts: number): Batch[] {
  if (parts === 1) return [batch];
  const rows = batch.batch / parts;
  if (!Number.isInteger(rows)) {
    throw new ConfigError(
      `training: micro-batches must share the rows evenly; got ${parts} for ${batch.batch} rows; change either`,
      { parts, rows: batch.batch },
    );
  }
  const part = (data: Int32Array, i: number): Int32Array =>
    data.subarray(i * rows * batch.length, (i + 1) * rows * batch.length);
  return Array.from({ length: parts }, (_, i) => ({
    ...batch,
    batch: rows,
    ids: part(batch.ids, i),
    targets: part(batch.targets, i),
    ...(batch.segmentIds ? { segmentIds: part(batch.segmentIds, i) } : {}),
  }));
}

/** Copies a batch to a device. */
export function uploadBatch({ ids, targets, segmentIds, batch, length }: Batch, device: Device): DeviceBatch {
  const put = (data: Int32Array): Tensor => tensor(data, [batch, length], { device });
  const made = [put(ids), put(targets), ...(segmentIds ? [put(segmentIds)] : [])] as const;
  return {
    ids: made[0]!,
    targets: made[1]!,
    ...(made[2] ? { segmentIds: made[2] } : {}),
    scored: countScored(targets),
    [Symbol.dispose]: () => {
      for (const one of made) one.dispose();
    },
  };
}

/** Targets that are scored. */
export function countScored(targets: Int32Array): number {
  let count = 0;
  for (const target of targets) if (target >= 0) count++;
  return count;
}

/** What a model makes of a batch: a tensor of one element, and where its rows go on. */
export interface BatchLoss {
  readonly loss: Tensor;
  /** The caller owns it. */
  readonly state: RecurrentState;
}

/**
 * Cross-entropy of a batch, summed over its scored targets and divided by `scored`: with the count of the whole batch the
 * losses of its parts add up to its mean.
 */
export function batchLoss(
  model: LanguageModel,
  { ids, targets, segmentIds }: DeviceBatch,
  { scored, ...options }: { scored: number; state?: RecurrentState; recompute?: Recompute },
): BatchLoss {
  const { losses, state } = model.losses(ids, targets, { segmentIds, ...options });
  return { loss: mul(sum(losses), 1 / Math.max(1, scored)), state };
}
