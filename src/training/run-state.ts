import type { LanguageModel, RecurrentState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { StateError } from "../tensor/errors.ts";
import type { Parameters } from "../tensor/parameters.ts";
import { type Tensor, writeTensor } from "../tensor/tensor.ts";
import {
  type BestValidation,
  type OpenTrainingCheckpoint,
  openTrainingCheckpoint,
  type Progress,
  writeCheckpoint,
} from "./checkpoint.ts";
import type { CheckpointStore } from "./checkpoint-store.ts";
import { MovingAverage } from "./moving-average.ts";
import type { CommonTrainerOptions } from "./trainer-options.ts";

/** Everything that a run needs to go on. */
const LAST = "last.safetensors";
/** The parameters with the least validation loss; the moving average's where there is one. */
const BEST = "best.safetensors";

type Parts = Pick<CommonTrainerOptions, "optimizer" | "lossScaler" | "average" | "microBatches"> & {
  /** Only language models carry states. */
  readonly model: { readonly parameters: Parameters } & Partial<Pick<LanguageModel, "stateFrom">>;
};

/** What changes while a run goes on, besides the model and the optimizer; written to checkpoints and read from them. */
export class RunState implements Disposable {
  /** Steps taken. */
  step = 0;
  best: BestValidation | undefined;
  /** Validations since the best one. */
  waited = 0;
  /** Of rows that go on in the next step, one for each micro-batch. */
  carried: RecurrentState[] = [];
  readonly device: Device;
  readonly average: MovingAverage | undefined;
  readonly #parts: Parts;
  readonly #parameters: ReadonlyMap<string, Tensor>;

  constructor(parts: Parts, parameters: ReadonlyMap<string, Tensor>) {
    this.#parts = parts;
    this.#parameters = parameters;
    this.device = this.#like.device;
    if (parts.average !== undefined) this.average = new MovingAverage(parts.model.parameters, parts.average);
  }

  get #like(): Tensor {
    return [...this.#parameters.values()][0]!;
  }

  /** The next step's rows begin anew. */
  forgetCarried(): void {
    for (const state of this.carried) state.dispose();
    this.carried = [];
  }

  /** Writes all that is needed to go on. */
  async save(store: CheckpointStore): Promise<void> {
    const carried = this.carried.map((state, i): [string, ReadonlyMap<string, Tensor>] => [
      `state.${i}`,
      new Map(state.tensors().map((tensor, n) => [String(n), tensor])),
    ]);
    await writeCheckpoint(store, LAST, this.#progress(), {
      parameters: this.#parameters,
      optimizer: this.#parts.optimizer.tensors(),
      ...(this.average ? { average: this.average.tensors() } : {}),
      ...Object.fromEntries(carried),
    });
  }

  /** Writes the parameters as they are, as the best so far. */
  async saveBest(store: CheckpointStore): Promise<void> {
    await writeCheckpoint(store, BEST, this.#progress(), { parameters: this.#parameters });
  }

  /** Puts the best parameters into the model; false if none were saved. */
  async loadBest(store: CheckpointStore): Promise<boolean> {
    const source = await store.open(BEST);
    if (!source) return false;
    const file = await openTrainingCheckpoint(source);
    try {
      file.check("parameters", this.#parameters);
      await overwrite(file, "parameters", this.#parameters);
      return true;
    } finally {
      await file.close();
    }
  }

  /**
   * Goes on from the last checkpoint, if there is one.
   *
   * @returns what was odd about it
   * @throws StateError, CheckpointError if it does not fit; nothing was changed then
   */
  async restore(store: CheckpointStore): Promise<string[]> {
    const source = await store.open(LAST);
    if (!source) return [];
    const file = await openTrainingCheckpoint(source);
    try {
      this.#check(file);
      await this.#load(file);
      return this.#differences(file.progress);
    } finally {
      await file.close();
    }
  }

  #progress(): Progress {
    const { optimizer, lossScaler } = this.#parts;
    return {
      step: this.step,
      optimizer: optimizer.name,
      optimizerStep: optimizer.step,
      ...(this.best ? { best: this.best } : {}),
      waited: this.waited,
      ...(lossScaler ? { lossScale: lossScaler.state } : {}),
      positions: this.carried.map(({ position }) => position),
      device: this.device.name,
      features: [...this.device.features].sort(),
    };
  }

  async #load(file: OpenTrainingCheckpoint): Promise<void> {
    const { optimizer, lossScaler, model } = this.#parts;
    const { progress } = file;
    const slots = new Map<string, Tensor>();
    for (const name of file.names("optimizer")) slots.set(name, await file.load("optimizer", name, this.#like));
    optimizer.restore(progress.optimizerStep, slots, model.parameters);
    await overwrite(file, "parameters", this.#parameters);
    if (this.average) await overwrite(file, "average", this.average.tensors());
    this.carried = await this.#loadCarried(file);
    if (lossScaler && progress.lossScale) lossScaler.restore(progress.lossScale);
    this.best = progress.best;
    this.waited = progress.waited;
    this.step = progress.step;
  }

  async #loadCarried(file: OpenTrainingCheckpoint): Promise<RecurrentState[]> {
    const states: RecurrentState[] = [];
    for (const [i, position] of file.progress.positions.entries()) {
      const names = file.names(`state.${i}`).sort((a, b) => Number(a) - Number(b));
      const tensors: Tensor[] = [];
      for (const name of names) tensors.push(await file.load(`state.${i}`, name, this.#like));
      states.push(this.#parts.model.stateFrom!(tensors, position));
    }
    return states;
  }

  #check(file: OpenTrainingCheckpoint): void {
    const { optimizer, microBatches = 1 } = this.#parts;
    const { progress } = file;
    file.check("parameters", this.#parameters);
    file.check("average", this.average?.tensors() ?? new Map());
    const carriedParts = progress.positions.length;
    if (carriedParts > 0 && !this.#parts.model.stateFrom) {
      throw new StateError(
        "training: a run must go on as it began, with a model that carries states; this one carries none; resume with the configuration that was saved",
        {},
      );
    }
    if (optimizer.name === progress.optimizer && (carriedParts === 0 || carriedParts === microBatches)) return;
    const began = `${progress.optimizer}${carriedParts ? ` and ${carriedParts} micro-batches` : ""}`;
    throw new StateError(
      `training: a run must go on as it began, with ${began}; got ${optimizer.name} and ${microBatches} micro-batches; resume with the configuration that was saved`,
      { optimizer: progress.optimizer, microBatches: carriedParts },
    );
  }

  #differences({ device, features }: Progress): string[] {
    const there = [device, ...features].join(" ");
    const here = [this.device.name, ...[...this.device.features].sort()].join(" ");
    if (here === there) return [];
    return [`the checkpoint is from another device (${there}; this is ${here}): results differ in the last bits`];
  }

  /** Frees the moving average and carried states. Idempotent. */
  dispose(): void {
    this.average?.dispose();
    this.forgetCarried();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

async function overwrite(
  file: OpenTrainingCheckpoint,
  part: string,
  targets: ReadonlyMap<string, Tensor>,
): Promise<void> {
  for (const [name, target] of targets) {
    const loaded = await file.load(part, name, target);
    writeTensor(target, await loaded.read());
    loaded.dispose();
  }
}
