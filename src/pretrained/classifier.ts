import { type FileSet, isS4Classifier, matchS4Classifier, openCheckpoint, readJson } from "../checkpoints/index.ts";
import {
  SequenceClassifier,
  type SequenceClassifierConfig,
  type SequenceClassifierParameters,
} from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import type { Device } from "../tensor/device.ts";
import { convertArray } from "../tensor/dtype.ts";
import { CheckpointError, throwIfAborted } from "../tensor/errors.ts";
import { flattenParameters, nestParameters } from "../tensor/parameters.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { isClassifierConfig, loadClassifier } from "./classifier-file.ts";
import { findModelFiles, type PretrainedOptions, type PretrainedSource } from "./open-pretrained.ts";

/** Sequences as the host has them: [rows length inputSize] in row-major order. */
export interface Sequences {
  readonly values: Float32Array;
  readonly shape: readonly [rows: number, length: number, inputSize: number];
}

/**
 * A trained classifier of sequences on a device.
 *
 * `fromPretrained` takes what {@link CausalLM.fromPretrained} takes: a folder that `mamba train` wrote, or one of state-spaces/s4; a bare
 * `.pth` of theirs needs no configuration, since its tensors tell the architecture.
 */
export class Classifier {
  readonly model: SequenceClassifier;
  readonly device: Device;
  readonly #ownsDevice: boolean;

  private constructor(model: SequenceClassifier, device: Device, ownsDevice: boolean) {
    this.model = model;
    this.device = device;
    this.#ownsDevice = ownsDevice;
  }

  /**
   * @throws CheckpointError if the files are damaged or hold another architecture
   */
  static async fromPretrained(source: PretrainedSource, options: PretrainedOptions = {}): Promise<Classifier> {
    const files = await findModelFiles(source, options);
    const given = options.device ?? "auto";
    const ownsDevice = typeof given === "string";
    const device = ownsDevice ? await openDevice(given, options) : given;
    try {
      const isOwn = (await files.has("config.json")) && isClassifierConfig(await readJson(files, "config.json"));
      const model = isOwn ? await loadClassifier(files, device) : await loadOfficial(files, device, options);
      return new Classifier(model, device, ownsDevice);
    } catch (error) {
      if (ownsDevice) device.dispose();
      throw error;
    }
  }

  get config(): SequenceClassifierConfig {
    return this.model.config;
  }

  /**
   * @param rate - see {@link SequenceClassifier.forward}
   * @returns logits [rows classes] in row-major order
   */
  async classify({ values, shape }: Sequences, rate = 1): Promise<Float32Array> {
    const isReference = this.device.name === "reference";
    const data = isReference ? Float64Array.from(values) : values;
    const x = tensor(data, shape, { device: this.device, dtype: isReference ? "float64" : "float32" });
    const logits = this.model.forward(x, { rate });
    x.dispose();
    try {
      return Float32Array.from(await logits.read());
    } finally {
      logits.dispose();
    }
  }

  /** Frees the parameters, and the device if it was opened for them. Idempotent. */
  dispose(): void {
    for (const [, parameter] of flattenParameters(this.model.parameters)) parameter.dispose();
    if (this.#ownsDevice) this.device.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The place of the largest logit of every row; the first of equal ones. */
export function largestClasses(logits: Float32Array, classes: number): Int32Array {
  return Int32Array.from({ length: logits.length / classes }, (_, row) => {
    let best = 0;
    for (let c = 1; c < classes; c++) if (logits[row * classes + c]! > logits[row * classes + best]!) best = c;
    return best;
  });
}

/** A classifier of state-spaces/s4, whose tensors tell the architecture. */
async function loadOfficial(
  files: FileSet,
  device: Device,
  { signal }: PretrainedOptions,
): Promise<SequenceClassifier> {
  const checkpoint = await openCheckpoint(files);
  try {
    const { name, entries } = checkpoint;
    if (!isS4Classifier(entries)) {
      throw new CheckpointError(
        `${name}: must hold a classifier with tensors s4_layers.N; it holds ${[...entries.keys()].slice(0, 5).join(", ")}; open it as what it is`,
        {},
      );
    }
    const matched = await matchS4Classifier({ name, tensors: entries });
    const parameters: [string, Tensor][] = [];
    for (const { name: own, shape, entry } of matched.tensors) {
      throwIfAborted(signal, "load");
      const dtype = device.name === "reference" ? "float64" : "float32";
      const values = convertArray(await entry.read(), entry.dtype, dtype);
      parameters.push([own, tensor(values, shape, { device, dtype })]);
    }
    const nested = nestParameters(parameters) as unknown as SequenceClassifierParameters;
    return new SequenceClassifier(matched.config, nested);
  } finally {
    await checkpoint.close();
  }
}
