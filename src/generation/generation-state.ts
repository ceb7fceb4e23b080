import { encodeSafetensors, readSafetensors } from "../checkpoints/index.ts";
import type { LanguageModel, RecurrentState } from "../models/index.ts";
import { copy, slice } from "../ops/movement/index.ts";
import type { Device } from "../tensor/device.ts";
import { convertArray } from "../tensor/dtype.ts";
import { MambaError, StateError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import { tensor } from "../tensor/tensor.ts";

/** Version of the saved form; a reader refuses others. */
const FORMAT_VERSION = 1;

/** Most ids that are kept for penalties. */
export const MAX_RECENT_IDS = 4096;

/** What generation knows besides the model's own state; plain data. */
export interface GenerationFacts {
  /** The last sampled id, not yet fed to the model. */
  readonly pendingId: number | undefined;
  /** Random words used so far. */
  readonly samplerCounter: number;
  /** The latest ids, newest last, for penalties. */
  readonly recentIds: readonly number[];
  /** What the streaming decoder holds back, as plain data. */
  readonly decoder: unknown;
  /** Logits after the last fed id. */
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
    const { architecture, fingerprint } = await this.#identity();
    const { lastLogits, ...facts } = this.facts;
    const tensors = await Promise.all(
      this.#model.tensors().map(async (part, i) => ({
        name: this.#names[i]!,
        dtype: part.dtype,
        shape: part.shape,
        data: await part.read(),
      })),
    );
    if (lastLogits)
      tensors.push({ name: "lastLogits", dtype: "float32", shape: [lastLogits.length], data: lastLogits });
    return encodeSafetensors(tensors, {
      format: "mamba.ts state",
      version: String(FORMAT_VERSION),
      architecture,
      fingerprint,
      position: String(this.position),
      facts: JSON.stringify(facts),
    });
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
  const file = await readSafetensors(bytes).catch((cause: unknown) => {
    throw new StateError(
      "loadState: bytes must be a state saved by serialize(); they are damaged; save it again",
      {},
      { cause },
    );
  });
  const { metadata } = file;
  await checkIdentity(metadata, identity);
  const shapes = model.stateShapes();
  const tensors = [];
  for (const { name, shape } of shapes) {
    const entry = file.tensors.get(name);
    if (!entry || entry.shape.join() !== shape.join()) {
      throw new StateError(
        `loadState: ${name} must have shape [${shape.join(" ")}]; got ${entry ? `[${entry.shape.join(" ")}]` : "nothing"}; save the state again`,
        { name },
      );
    }
    const dtype = device.name === "reference" ? entry.dtype : "float32";
    tensors.push(tensor(convertArray(await entry.read(), entry.dtype, dtype), shape, { device, dtype }));
  }
  const lastLogits = await file.tensors.get("lastLogits")?.read();
  return new GenerationState(
    model.stateFrom(tensors, Number(metadata["position"])),
    shapes.map((s) => s.name),
    identity,
    {
      ...parseFacts(metadata["facts"]),
      lastLogits: lastLogits as Float32Array | undefined,
    },
  );
}

async function checkIdentity(metadata: Readonly<Record<string, string>>, identity: () => Promise<ModelIdentity>) {
  if (metadata["format"] !== "mamba.ts state" || metadata["version"] !== String(FORMAT_VERSION)) {
    throw new StateError(
      `loadState: bytes must be a mamba.ts state of version ${FORMAT_VERSION}; got ${metadata["format"] ?? "something else"} ${metadata["version"] ?? ""}; save it with this version`,
      { format: metadata["format"], version: metadata["version"] },
    );
  }
  const expected = await identity();
  if (metadata["architecture"] === expected.architecture && metadata["fingerprint"] === expected.fingerprint) return;
  throw new StateError(
    `loadState: the state must belong to this model (${expected.architecture} ${expected.fingerprint.slice(0, 12)}); it belongs to ${metadata["architecture"]} ${metadata["fingerprint"]?.slice(0, 12)}; load the model it was saved with`,
    { expected, actual: { architecture: metadata["architecture"], fingerprint: metadata["fingerprint"] } },
  );
}

function parseFacts(text: string | undefined): Omit<GenerationFacts, "lastLogits"> {
  try {
    const facts = JSON.parse(text ?? "") as Omit<GenerationFacts, "lastLogits">;
    if (Array.isArray(facts.recentIds) && Number.isSafeInteger(facts.samplerCounter)) return facts;
  } catch {
    // falls through to the error below
  }
  throw new StateError(
    "loadState: the facts beside the tensors must be readable; they are damaged; save the state again",
    {},
  );
}

/** One row of a batched state, copied. */
export function extractRow(model: LanguageModel, state: RecurrentState, row: number): RecurrentState {
  if (row >= state.batch) throw new MambaError(`extractRow: row must be below ${state.batch}; got ${row}`, "INTERNAL");
  const rows = scope(() => state.tensors().map((part) => copy(slice(part, { axis: 0, start: row, end: row + 1 }))));
  return model.stateFrom(rows, state.position);
}
