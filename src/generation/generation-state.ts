import type { TensorData } from "../checkpoints/index.ts";
import type { LanguageModel, RecurrentState } from "../models/index.ts";
import { copy, slice } from "../ops/movement/index.ts";
import type { Device } from "../tensor/device.ts";
import { convertArray, isFloat } from "../tensor/dtype.ts";
import { MambaError, StateError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { StreamSnapshot } from "../text/index.ts";
import { decodeState, encodeState, type StateFile } from "./state-file.ts";

/** Most ids that are kept for penalties. */
export const MAX_RECENT_IDS = 4096;

/** What generation knows besides the model's own state; plain data. */
export interface GenerationFacts {
  /** The last sampled id, not yet fed to the model. */
  readonly pendingId: number | undefined;
  /** Random words used so far. */
  readonly samplerCounter: number;
  /** Stream of the seed that they come from. */
  readonly samplerStream: number;
  /** The latest ids, newest last, for penalties. */
  readonly recentIds: readonly number[];
  /** What the streaming decoder holds back. */
  readonly decoder: StreamSnapshot;
  /** Logits after the last fed id, where nothing has been sampled from them yet. */
  readonly lastLogits: Float32Array | undefined;
}

/** Which weights a state belongs to. */
export interface ModelIdentity {
  readonly architecture: string;
  /** SHA-256 over configuration and the ends of every tensor, in hex. */
  readonly fingerprint: string;
}

const registry = new FinalizationRegistry<RecurrentState>((state) => state.dispose());

/**
 * Everything that a text in progress is: the model's recurrent state and what sampling and decoding need to go
 * on exactly where they stopped. Of constant size.
 */
export class GenerationState {
  readonly facts: GenerationFacts;
  readonly #model: RecurrentState;
  readonly #names: readonly string[];
  readonly #identity: () => Promise<ModelIdentity>;

  constructor(
    model: RecurrentState,
    names: readonly string[],
    identity: () => Promise<ModelIdentity>,
    facts: GenerationFacts,
  ) {
    this.#model = model;
    this.#names = names;
    this.#identity = identity;
    this.facts = facts;
    registry.register(this, model, this);
  }

  /** Which weights it belongs to. */
  get identity(): () => Promise<ModelIdentity> {
    return this.#identity;
  }

  /** The recurrent state of one row. */
  get model(): RecurrentState {
    return this.#model;
  }

  /** Tokens that the model has seen. */
  get position(): number {
    return this.#model.position;
  }

  /** Bytes of the recurrent state. */
  get byteLength(): number {
    return this.#model.byteLength;
  }

  /** An independent copy. */
  clone(): GenerationState {
    return new GenerationState(this.#model.clone(), this.#names, this.#identity, this.facts);
  }

  /**
   * The state as bytes: a safetensors file whose metadata holds everything but the tensors.
   *
   * Layouts are [1 window channels] for convolutions, newest last, and [1 channels state] for the recurrence,
   * in float32 or as the device computes; portable between devices and thread counts.
   */
  async serialize(): Promise<Uint8Array> {
    const { lastLogits, ...facts } = this.facts;
    const tensors = await Promise.all(
      this.#model.tensors().map(async (part, i): Promise<TensorData> => {
        const { dtype, shape } = part;
        return { name: this.#names[i]!, dtype, shape, data: await part.read() };
      }),
    );
    if (lastLogits)
      tensors.push({ name: "lastLogits", dtype: "float32", shape: [lastLogits.length], data: lastLogits });
    return encodeState({ ...(await this.#identity()), position: this.position, facts, tensors });
  }

  /** Gives the memory back. Idempotent. */
  dispose(): void {
    registry.unregister(this);
    this.#model.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Reads what {@link GenerationState.serialize} wrote.
 *
 * @throws StateError if the bytes are damaged, of another version, or of another model
 */
export async function readGenerationState(
  bytes: Uint8Array,
  model: LanguageModel,
  device: Device,
  identity: () => Promise<ModelIdentity>,
): Promise<GenerationState> {
  const file = await decodeState(bytes);
  checkIdentity("loadState", file, await identity());
  const names = model.stateShapes().map(({ name }) => name);
  const lastLogits = take(file, "lastLogits", [model.vocabSize]);
  if ((lastLogits === undefined) === (file.facts.pendingId === undefined)) throw misfit("lastLogits", lastLogits);
  const state = model.stateFrom(stateTensors(file, model, device), file.position);
  return new GenerationState(state, names, identity, {
    ...file.facts,
    lastLogits: lastLogits && (convertArray(lastLogits.data, lastLogits.dtype, "float32") as Float32Array),
  });
}

/** A tensor of the file, if it is there. */
function take({ tensors }: StateFile, name: string, shape: readonly number[]): TensorData | undefined {
  const found = tensors.find((part) => part.name === name);
  if (found && (found.shape.join() !== shape.join() || !isFloat(found.dtype))) throw misfit(name, found);
  return found;
}

function misfit(name: string, found: TensorData | undefined): StateError {
  const came = found ? `${found.dtype} [${found.shape.join(" ")}]` : "nothing";
  return new StateError(`loadState: ${name} must fit the model; got ${came}; save the state again`, { name });
}

function stateTensors(file: StateFile, model: LanguageModel, device: Device): Tensor[] {
  const empty = model.initialState(1);
  const dtype = empty.tensors()[0]!.dtype;
  empty.dispose();
  const parts = model.stateShapes().map(({ name, shape }) => {
    const found = take(file, name, shape);
    if (!found) throw misfit(name, found);
    return { shape, data: convertArray(found.data, found.dtype, dtype) };
  });
  return scope(() => parts.map(({ shape, data }) => tensor(data, shape, { device, dtype })));
}

/**
 * Throws unless a state can go on here.
 *
 * @throws StateError if it belongs to another model or lies on another device
 */
export async function checkState(
  state: GenerationState,
  device: Device,
  identity: () => Promise<ModelIdentity>,
): Promise<void> {
  const parts = state.model.tensors();
  if (state.identity !== identity) checkIdentity("generate", await state.identity(), await identity());
  if (parts.every((part) => part.device === device)) return;
  throw new StateError(
    "generate: the state must be on the model's device; it is on another; pass it through serialize() and loadState()",
    {},
  );
}

function checkIdentity(where: string, actual: ModelIdentity, expected: ModelIdentity): void {
  const { architecture, fingerprint } = actual;
  if (architecture === expected.architecture && fingerprint === expected.fingerprint) return;
  throw new StateError(
    `${where}: the state must belong to this model (${expected.architecture} ${expected.fingerprint.slice(0, 12)}); it belongs to ${architecture} ${fingerprint.slice(0, 12)}; load the model it was saved with`,
    { expected, actual: { architecture, fingerprint } },
  );
}

/**
 * One row of a batched state, copied.
 *
 * @param position - tokens that this row has seen, without padding
 */
export function extractRow(model: LanguageModel, state: RecurrentState, row: number, position: number): RecurrentState {
  if (row >= state.batch) throw new MambaError(`extractRow: row must be below ${state.batch}; got ${row}`, "INTERNAL");
  const rows = scope(() => state.tensors().map((part) => copy(slice(part, { axis: 0, start: row, end: row + 1 }))));
  return model.stateFrom(rows, position);
}
