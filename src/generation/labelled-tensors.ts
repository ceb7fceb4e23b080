import type { LabelledBatch } from "../data/index.ts";
import type { ClassifierForwardOptions } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** A labelled batch on a device. */
export interface LabelledTensors extends Disposable {
  /** [batch length inputSize], or int32 [batch length] for ids. */
  readonly x: Tensor;
  readonly options: Pick<ClassifierForwardOptions, "lengths" | "deltas">;
  /** int32 [batch] */
  readonly labels: Tensor;
}

/** Copies a labelled batch to a device, numbers in its widest floating type. */
export function uploadLabelled(batch: LabelledBatch, device: Device): LabelledTensors {
  const { batch: rows, length, values, ids, lengths, deltas, labels } = batch;
  const dtype = device.name === "reference" ? "float64" : "float32";
  const floats = (data: Float32Array, shape: readonly number[]): Tensor =>
    tensor(dtype === "float64" ? Float64Array.from(data) : data, shape, { device, dtype });
  const whole = (data: Int32Array, shape: readonly number[]): Tensor => tensor(data, shape, { device });
  const x = values ? floats(values, [rows, length, values.length / (rows * length)]) : whole(ids!, [rows, length]);
  const options = {
    ...(lengths ? { lengths: whole(lengths, [rows]) } : {}),
    ...(deltas ? { deltas: floats(deltas, [rows, length]) } : {}),
  };
  const own = whole(labels, [rows]);
  return {
    ...{ x, options, labels: own },
    [Symbol.dispose]: () => {
      for (const one of [x, own, options.lengths, options.deltas]) one?.dispose();
    },
  };
}
