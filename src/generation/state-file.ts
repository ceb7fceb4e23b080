import { sha256 } from "#platform";
import { encodeSafetensors, readSafetensors, type TensorData } from "../checkpoints/index.ts";
import { StateError } from "../tensor/errors.ts";
import type { GenerationFacts } from "./generation-state.ts";

/** Version of the saved form; a reader refuses others. */
const FORMAT_VERSION = 1;
const FORMAT = "mamba.ts state";

/** What a saved state holds. */
export interface StateFile {
  readonly architecture: string;
  readonly fingerprint: string;
  readonly position: number;
  readonly facts: Omit<GenerationFacts, "lastLogits">;
  readonly tensors: readonly TensorData[];
}

/**
 * A state as bytes: a safetensors file whose metadata holds everything but the tensors, and a SHA-256 over all of it.
 */
export async function encodeState(state: StateFile): Promise<Uint8Array<ArrayBuffer>> {
  const { architecture, fingerprint, position, facts, tensors } = state;
  const metadata = {
    format: FORMAT,
    version: String(FORMAT_VERSION),
    architecture,
    fingerprint,
    position: String(position),
    facts: JSON.stringify(facts),
  };
  return encodeSafetensors(tensors, { ...metadata, digest: await digestOf(tensors, metadata) });
}

/**
 * Reads what {@link encodeState} gave.
 *
 * @throws StateError if the bytes are something else, of another version, or damaged
 */
export async function decodeState(bytes: Uint8Array): Promise<StateFile> {
  const { tensors, metadata } = await readTensors(bytes).catch((cause: unknown) => {
    throw damaged({ cause });
  });
  const { format, version, digest, ...rest } = metadata;
  if (format !== FORMAT || version !== String(FORMAT_VERSION)) {
    throw new StateError(
      `loadState: bytes must be a mamba.ts state of version ${FORMAT_VERSION}; got ${format ?? "something else"} ${version ?? ""}; save it with this version`,
      { format, version },
    );
  }
  if (digest !== (await digestOf(tensors, { format, version, ...rest }))) throw damaged();
  const position = Number(rest["position"]);
  if (!isCount(position)) throw damaged();
  const { architecture = "", fingerprint = "" } = rest;
  return { architecture, fingerprint, position, facts: parseFacts(rest["facts"]), tensors };
}

async function readTensors(bytes: Uint8Array): Promise<{
  tensors: TensorData[];
  metadata: Readonly<Record<string, string>>;
}> {
  const file = await readSafetensors(bytes);
  const entries = [...file.tensors.values()];
  const tensors = entries.map(async (entry) => {
    const { name, dtype, shape } = entry;
    return { name, dtype, shape, data: await entry.read() };
  });
  return { tensors: await Promise.all(tensors), metadata: file.metadata };
}

/** SHA-256 of metadata and tensors in order of their names, in hex. */
async function digestOf(tensors: readonly TensorData[], metadata: Readonly<Record<string, string>>): Promise<string> {
  const byName = <Item>(items: [string, Item][]) => items.sort(([a], [b]) => (a < b ? -1 : 1));
  const sorted = byName(tensors.map((tensor) => [tensor.name, tensor])).map(([, tensor]) => tensor);
  const header = [byName(Object.entries(metadata)), sorted.map(({ name, dtype, shape }) => [name, dtype, shape])];
  const digest = await sha256(
    new TextEncoder().encode(JSON.stringify(header)),
    ...sorted.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
  );
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function damaged(options?: ErrorOptions): StateError {
  const what = "bytes must be a state saved by serialize(); they are damaged; save it again";
  return new StateError(`loadState: ${what}`, {}, options);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function areCounts(value: unknown): boolean {
  return Array.isArray(value) && value.every(isCount);
}

function parseFacts(text: string | undefined): StateFile["facts"] {
  let facts: Partial<Record<keyof StateFile["facts"], unknown>> | undefined;
  try {
    facts = JSON.parse(text ?? "") ?? undefined;
  } catch (cause) {
    throw damaged({ cause });
  }
  const { pendingId, samplerCounter, samplerStream, recentIds, decoder } = facts ?? {};
  const held = decoder as { held?: unknown; given?: unknown } | null | undefined;
  const fits =
    (pendingId === undefined || isCount(pendingId)) &&
    isCount(samplerCounter) &&
    isCount(samplerStream) &&
    areCounts(recentIds) &&
    areCounts(held?.held) &&
    isCount(held?.given);
  if (fits) return facts as StateFile["facts"];
  throw damaged();
}
