import { CheckpointError } from "../tensor/errors.ts";
import { describeFields, type GgufFields } from "./gguf-fields.ts";
import { type GgufHeader, type GgufPlacement, HeaderGoesOn, parseGgufHeader } from "./gguf-header.ts";
import { type GgufType, ggufTypes, quantizedTypes } from "./gguf-types.ts";
import { decodeBlocks } from "./quantize.ts";
import { type ByteSource, type CheckpointInput, toSource } from "./source.ts";
import { type TensorEntry, type TensorFile, tensorEntry } from "./tensor-entry.ts";

/** Bytes read at first; a header that goes on is read up to four times as far. */
const firstRead = 2 ** 18;
/** The largest vocabularies take a tenth of this. */
const longestHeader = 2 ** 28;

/** One tensor of a GGUF file. */
export interface GgufEntry extends TensorEntry {
  readonly storedType: GgufType;
  /** Reads the bytes of rows `start` up to, not including, `end` as they are: blocks of `storedType`. Default all. */
  readBlocks(start?: number, end?: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** An open GGUF file. */
export interface GgufFile extends TensorFile {
  /** By the file's own names, such as `blk.0.ssm_in.weight`. */
  readonly tensors: ReadonlyMap<string, GgufEntry>;
  /** All metadata; `metadata` has the scalars as text. */
  readonly fields: GgufFields;
  readonly version: number;
  readonly alignment: number;
}

/**
 * Opens a GGUF file of version 2 or 3, with tensors of F32, F16, BF16, Q8_0, Q4_0, Q5_0, Q4_K and Q6_K. Only its header is
 * read; tensors are read one at a time, on demand. Quantized tensors become float32, or are given as blocks.
 *
 * @param input - a source, bytes, or a path
 * @throws CheckpointError naming the byte or the tensor and the first rule that is broken
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export async function readGguf(input: CheckpointInput): Promise<GgufFile> {
  const source = await toSource(input, "GGUF bytes");
  try {
    const { version, alignment, fields, tensors, dataStart } = await readHeader(source);
    return {
      name: source.name,
      tensors: new Map(tensors.map((placement) => [placement.name, entryOf(source, dataStart, placement)])),
      metadata: describeFields(fields),
      fields,
      version,
      alignment,
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readHeader(source: ByteSource): Promise<GgufHeader> {
  const { name, byteLength } = source;
  let bytes = await source.read(0, Math.min(firstRead, byteLength));
  for (;;) {
    try {
      return parseGgufHeader(name, bytes, byteLength);
    } catch (error) {
      if (!(error instanceof HeaderGoesOn)) throw error;
    }
    if (bytes.length >= longestHeader) {
      throw new CheckpointError(
        `${name}: its header must end within 256 MiB; it goes on; the file is damaged, fetch it again`,
        { byteLength },
      );
    }
    const longer = new Uint8Array(Math.min(4 * bytes.length, byteLength));
    longer.set(bytes);
    longer.set(await source.read(bytes.length, longer.length), bytes.length);
    bytes = longer;
  }
}

function entryOf(source: ByteSource, dataStart: number, placement: GgufPlacement): GgufEntry {
  const { name, type, shape, begin, end } = placement;
  const { block, bytes, decode } = ggufTypes[type];
  const base = dataStart + begin;
  const readRun = (start: number, stop: number): Promise<Uint8Array<ArrayBuffer>> =>
    source.read(base + start * bytes, base + stop * bytes);
  const columns = shape.at(-1) ?? 1;
  const rows = columns === 0 ? 0 : ((end - begin) / bytes) * (block / columns);
  const entry = tensorEntry({
    name,
    storedType: type,
    dtype: ggufTypes[type].dtype,
    shape,
    storedByteLength: end - begin,
    readStored: async (start, stop) => {
      const first = Math.floor(start / block);
      const values = decode(await readRun(first, Math.ceil(stop / block)));
      return block === 1 ? values : values.slice(start - first * block, stop - first * block);
    },
  });
  const perRow = columns / block;
  const readBlocks = async (start = 0, stop = rows): Promise<Uint8Array<ArrayBuffer>> => {
    if (Number.isInteger(start) && Number.isInteger(stop) && 0 <= start && start <= stop && stop <= rows) {
      return readRun(start * perRow, stop * perRow);
    }
    throw new CheckpointError(
      `tensor ${name}: rows to read must lie within its ${rows}; got ${start} to ${stop}; ask for less`,
      { tensor: name, start, stop },
    );
  };
  const dtype = quantizedTypes[type];
  if (!dtype) return { ...entry, storedType: type, readBlocks };
  const readQuantized = async () => decodeBlocks(await readBlocks(), rows, columns, dtype);
  return { ...entry, storedType: type, readBlocks, readQuantized };
}
