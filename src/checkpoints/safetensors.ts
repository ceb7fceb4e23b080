import { CheckpointError } from "../tensor/errors.ts";
import { repeatedKeys } from "./json-keys.ts";
import { type ByteSource, type CheckpointInput, decodeUtf8, parseJson, toSource } from "./source.ts";
import { decodeElements, isStoredType, type StoredType, storedTypes } from "./stored-types.ts";
import { checkShape, excerpt, type TensorEntry, type TensorFile, tensorEntry } from "./tensor-entry.ts";

/** The format's own limit. */
const longestHeader = 100_000_000;

/** Where a tensor lies, relative to the first byte after the header. */
interface Placement {
  readonly name: string;
  readonly storedType: StoredType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Opens a safetensors file. Only its header is read; tensors are read one at a time, on demand.
 *
 * The header is trusted in nothing: lengths are held against the file before anything is allocated, types and shapes
 * against the byte ranges, and the ranges must fill the file without overlap or hole.
 *
 * @param input - a source, bytes, or a path
 * @throws CheckpointError naming the first rule that is broken
 * @see https://github.com/huggingface/safetensors#format
 */
export async function readSafetensors(input: CheckpointInput): Promise<TensorFile> {
  const source = await toSource(input, "safetensors bytes");
  try {
    return await openTensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function openTensors(source: ByteSource): Promise<TensorFile> {
  const { header, dataStart } = await readHeader(source);
  const { __metadata__: metadata, ...entries } = header;
  const dataLength = source.byteLength - dataStart;
  const placements = Object.entries(entries).map(([name, facts]) => placementOf(source.name, name, facts, dataLength));
  checkCoverage(source.name, placements, dataLength);
  return {
    name: source.name,
    tensors: new Map(placements.map((placement) => [placement.name, entryOf(source, dataStart, placement)])),
    metadata: checkMetadata(source.name, metadata),
    close: () => source.close(),
  };
}

async function readHeader(source: ByteSource): Promise<{ header: Record<string, unknown>; dataStart: number }> {
  const { name, byteLength } = source;
  if (byteLength < 10) throw damaged(name, "must hold a header", `it is ${byteLength} bytes long`, { byteLength });
  const lengthBytes = await source.read(0, 8);
  const headerLength = Number(new DataView(lengthBytes.buffer).getBigUint64(0, true));
  if (headerLength < 2 || headerLength > Math.min(byteLength - 8, longestHeader)) {
    const facts = { headerLength, byteLength };
    throw damaged(name, `its header must fit the file of ${byteLength} bytes`, `it claims ${headerLength}`, facts);
  }
  const bytes = await source.read(8, 8 + headerLength);
  if (bytes[0] !== 0x7b) throw damaged(name, "its header must begin with {", `got byte ${bytes[0]}`, {});
  const text = decodeUtf8(`${name} header`, bytes);
  const header = parseJson(`${name} header`, text) as Record<string, unknown>;
  const repeated = repeatedKeys(text);
  if (repeated.length) throw damaged(name, "names must differ", `repeated: ${excerpt(repeated)}`, { repeated });
  return { header, dataStart: 8 + headerLength };
}

function placementOf(file: string, name: string, facts: unknown, dataLength: number): Placement {
  const where = `${file}: tensor ${excerpt(name)}`;
  if (!isRecord(facts)) throw damaged(where, "must be described by an object", `got ${excerpt(facts)}`, { name });
  const { dtype, shape: givenShape, data_offsets: offsets } = facts;
  if (!isStoredType(dtype)) {
    const message = `${where}: its type must be one of ${Object.keys(storedTypes).join(", ")}; got ${excerpt(dtype)}`;
    throw new CheckpointError(`${message}; convert it with another program first`, { tensor: name, dtype });
  }
  const { shape, count } = checkShape(where, givenShape);
  const [begin, end] = Array.isArray(offsets) && offsets.length === 2 ? (offsets as unknown[]) : [];
  if (!isOffset(begin) || !isOffset(end) || begin > end || end > dataLength) {
    const must = `data_offsets must be two offsets within the ${dataLength} bytes of data`;
    throw damaged(where, must, `got ${excerpt(offsets)}`, { tensor: name });
  }
  const needed = count * storedTypes[dtype].bytes;
  if (end - begin !== needed) {
    const must = `${dtype} of shape [${shape.join(" ")}] takes ${needed} bytes`;
    throw damaged(where, must, `its offsets span ${end - begin}`, { tensor: name, needed, span: end - begin });
  }
  return { name, storedType: dtype, shape, begin, end };
}

function checkCoverage(file: string, placements: readonly Placement[], dataLength: number): void {
  let at = 0;
  for (const { name, begin, end } of [...placements].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at) {
      const problem = begin < at ? "overlaps the one before it" : "leaves a hole before it";
      throw damaged(file, "tensors must lie one after another", `${excerpt(name)} at ${begin} ${problem}`, { name });
    }
    at = end;
  }
  if (at !== dataLength) {
    throw damaged(file, "tensors must fill the file", `they end at ${at} of ${dataLength} bytes of data`, { end: at });
  }
}

function checkMetadata(file: string, metadata: unknown): Record<string, string> {
  if (metadata === undefined) return {};
  if (isRecord(metadata) && Object.values(metadata).every((value) => typeof value === "string")) {
    return metadata as Record<string, string>;
  }
  throw damaged(file, "__metadata__ must hold only strings", `got ${excerpt(metadata)}`, {});
}

function entryOf(source: ByteSource, dataStart: number, placement: Placement): TensorEntry {
  const { name, storedType, shape, begin, end: stop } = placement;
  const { bytes, dtype } = storedTypes[storedType];
  const base = dataStart + begin;
  const where = `${source.name}: tensor ${name}`;
  return tensorEntry({
    name,
    storedType,
    dtype,
    shape,
    storedByteLength: stop - begin,
    readStored: async (start, end) =>
      decodeElements(where, storedType, await source.read(base + start * bytes, base + end * bytes)),
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOffset(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function damaged(where: string, must: string, came: string, facts: Record<string, unknown>): CheckpointError {
  return new CheckpointError(`${where}: ${must}; ${came}; the file is damaged or incomplete, fetch it again`, facts);
}
