import {
  type ByteSource,
  readSafetensors,
  type TensorFile,
  type TensorToWrite,
  writeSafetensors,
} from "../checkpoints/index.ts";
import type { Device } from "../tensor/device.ts";
import { CheckpointError, StateError } from "../tensor/errors.ts";
import { formatShape } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { CheckpointStore } from "./checkpoint-store.ts";

/** The best validation so far. */
export interface BestValidation {
  /** Steps taken. */
  readonly step: number;
  readonly loss: number;
}

/** What a run has to know besides tensors to go on where it was. */
export interface Progress {
  /** Steps taken. */
  readonly step: number;
  readonly optimizer: string;
  /** Updates that the optimizer has taken; fewer where steps were skipped. */
  readonly optimizerStep: number;
  readonly best?: BestValidation;
  /** Validations since the best one. */
  readonly waited: number;
  readonly lossScale?: { readonly scale: number; readonly good: number };
  /** Tokens that each micro-batch's carried state has seen; empty where none is carried. */
  readonly positions: readonly number[];
  readonly device: string;
  readonly features: readonly string[];
}

/** Tensors by part (`parameters`, `optimizer`, `average`, `state.0`) and name. */
export type CheckpointTensors = Readonly<Record<string, ReadonlyMap<string, Tensor>>>;

const FORMAT = "mamba.ts training checkpoint";
const VERSION = "1";

/** Writes a checkpoint as one safetensors file. */
export async function writeCheckpoint(
  store: CheckpointStore,
  name: string,
  progress: Progress,
  parts: CheckpointTensors,
): Promise<void> {
  const tensors: TensorToWrite[] = Object.entries(parts).flatMap(([part, all]) =>
    [...all].map(([key, { dtype, shape }]) => ({
      name: `${part}/${key}`,
      dtype,
      shape,
      read: () => all.get(key)!.read(),
    })),
  );
  const metadata = { format: FORMAT, version: VERSION, progress: JSON.stringify(progress) };
  await store.write(name, (write) => writeSafetensors(write, tensors, metadata));
}

/** A checkpoint that was opened; its tensors are read on demand. */
export interface OpenTrainingCheckpoint {
  readonly progress: Progress;
  /** Names of a part's tensors. */
  names(part: string): string[];
  /** Copies a tensor to a device. */
  load(part: string, name: string, like: Pick<Tensor, "device" | "dtype">): Promise<Tensor>;
  /** @throws StateError unless the part has exactly these tensors with these shapes */
  check(part: string, expected: ReadonlyMap<string, { readonly shape: readonly number[] }>): void;
  close(): Promise<void>;
}

/**
 * Opens a checkpoint of a training run.
 *
 * @throws CheckpointError if it is damaged or something else
 */
export async function openTrainingCheckpoint(source: ByteSource): Promise<OpenTrainingCheckpoint> {
  const file = await readSafetensors(source);
  try {
    return new SafetensorsCheckpoint(file, readProgress(file));
  } catch (error) {
    await file.close();
    throw error;
  }
}

class SafetensorsCheckpoint implements OpenTrainingCheckpoint {
  readonly progress: Progress;
  readonly #file: TensorFile;

  constructor(file: TensorFile, progress: Progress) {
    this.#file = file;
    this.progress = progress;
  }

  names(part: string): string[] {
    const prefix = `${part}/`;
    return [...this.#file.tensors.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
  }

  async load(
    part: string,
    name: string,
    { device, dtype }: { device: Device; dtype: Tensor["dtype"] },
  ): Promise<Tensor> {
    const entry = this.#file.tensors.get(`${part}/${name}`)!;
    if (entry.dtype !== dtype) {
      throw new StateError(
        `${this.#file.name}: ${name} must be ${dtype}, as the run has it; it is ${entry.dtype}; resume on the device that saved it`,
        { name, expected: dtype, actual: entry.dtype },
      );
    }
    return tensor(await entry.read(), entry.shape, { device, dtype });
  }

  check(part: string, expected: ReadonlyMap<string, { readonly shape: readonly number[] }>): void {
    const names = new Set(this.names(part));
    const wrong = [...expected].flatMap(([name, { shape }]) => {
      const entry = this.#file.tensors.get(`${part}/${name}`);
      names.delete(name);
      if (!entry) return [`${name} is missing`];
      return entry.shape.join() === shape.join()
        ? []
        : [`${name} is ${formatShape(entry.shape)} for ${formatShape(shape)}`];
    });
    wrong.push(...[...names].map((name) => `${name} is unknown`));
    if (wrong.length === 0) return;
    const shown = wrong.slice(0, 5).join(", ") + (wrong.length > 5 ? `, and ${wrong.length - 5} more` : "");
    throw new StateError(
      `${this.#file.name}: ${part} must be those of the run; ${shown}; resume with the configuration that was saved`,
      { part, wrong },
    );
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

function readProgress({ name, metadata }: TensorFile): Progress {
  const { format, version, progress } = metadata;
  if (format !== FORMAT || version !== VERSION || progress === undefined) {
    throw new CheckpointError(
      `${name}: must be a ${FORMAT} of version ${VERSION}; it is ${format ?? "another file"} ${version ?? ""}; name the folder of a run`,
      { format, version },
    );
  }
  try {
    return JSON.parse(progress) as Progress;
  } catch (cause) {
    throw new CheckpointError(
      `${name}: progress must be JSON; it is damaged; use an earlier checkpoint`,
      {},
      { cause },
    );
  }
}
