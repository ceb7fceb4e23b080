import type { LabelledBatch } from "../data/index.ts";
import { evaluateLabelled } from "../generation/evaluate-labelled.ts";
import { uploadLabelled } from "../generation/labelled-tensors.ts";
import type { ClassifierModel } from "../models/index.ts";
import { crossEntropy } from "../ops/cross-entropy/index.ts";
import type { StreamOptions } from "../ops/random/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Learner, LearnerBatch, Objective, ValidationResult } from "./learner.ts";
import type { ClassifierTrainerOptions } from "./trainer-options.ts";

/** Far from the seeds that people choose, so that masks are drawn apart from data and parameters. */
const DROPOUT_SEED = 2 ** 42;

type Options = Pick<ClassifierTrainerOptions, "classifier" | "data" | "validation" | "microBatches" | "seed">;

/** A classifier that tells the classes of sequences. Dropout masks are a function of seed, step and micro-batch. */
export class ClassifierLearner implements Learner {
  readonly #options: Options;
  readonly #device: Device;

  constructor(options: Options, device: Device) {
    this.#options = options;
    this.#device = device;
  }

  async batch(step: number): Promise<LearnerBatch> {
    const { classifier, data, microBatches = 1, seed = 0 } = this.#options;
    const batch = await data.batch(step);
    const objectives = (): Objective[] =>
      splitLabelled(batch, microBatches).map((part, i) => {
        const random = { seed: DROPOUT_SEED + seed, stream: step * microBatches + i };
        return labelledObjective(classifier, part, this.#device, random);
      });
    return { samples: batch.batch * batch.length, objectives };
  }

  validate(): Promise<ValidationResult> {
    const { classifier, validation } = this.#options;
    const { data, batches = 8 } = validation!;
    return evaluateLabelled(classifier, this.#device, data, { batches });
  }
}

/** Mean cross-entropy of a labelled batch. */
export function labelledObjective(
  classifier: ClassifierModel,
  batch: LabelledBatch,
  device: Device,
  random?: StreamOptions,
): Objective {
  const { x, options, labels, [Symbol.dispose]: finish } = uploadLabelled(batch, device);
  const run = (): Tensor => crossEntropy(classifier.forward(x, random ? { ...options, random } : options), labels).loss;
  return { run, finish };
}

/**
 * Cuts a labelled batch into parts of as many rows each.
 *
 * @throws ConfigError if the rows cannot be shared out evenly
 */
export function splitLabelled(batch: LabelledBatch, parts: number): LabelledBatch[] {
  if (parts === 1) return [batch];
  const rows = batch.batch / parts;
  if (!Number.isInteger(rows)) {
    throw new ConfigError(
      `training: micro-batches must share the rows evenly; got ${parts} for ${batch.batch} rows; change either`,
      { parts, rows: batch.batch },
    );
  }
  const { values, ids, labels, lengths, deltas, length } = batch;
  return Array.from({ length: parts }, (_, i) => {
    function part<A extends Float32Array | Int32Array>(data: A): A {
      const own = data.length / parts;
      return data.subarray(i * own, (i + 1) * own) as A;
    }
    return {
      ...{ batch: rows, length, labels: part(labels) },
      ...(values ? { values: part(values) } : {}),
      ...(ids ? { ids: part(ids) } : {}),
      ...(lengths ? { lengths: part(lengths) } : {}),
      ...(deltas ? { deltas: part(deltas) } : {}),
    };
  });
}
