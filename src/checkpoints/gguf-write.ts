import { type WriteBytes, writeFileAtomically } from "#platform";
import { convertArray, type DType, type TypedArray } from "../tensor/dtype.ts";
import { CheckpointError, DtypeError, MambaError } from "../tensor/errors.ts";
import { quantizeMatrix } from "../tensor/quantize.ts";
import { encodeGgufHeader } from "./gguf-encode.ts";
import type { GgufFields } from "./gguf-fields.ts";
import { ggufTypes, quantizedTypes } from "./gguf-types.ts";
import { encodeBlocks } from "./quantize.ts";
import { checkShape, excerpt } from "./tensor-entry.ts";

/** Element types that can be written. */
export type WritableGgufType = "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0";

/** A tensor to write: where its elements come from, and what they become. */
export interface GgufTensorToWrite {
  readonly name: string;
  readonly type: WritableGgufType;
  readonly shape: readonly number[];
  /** Element type of what `read` gives. */
  readonly dtype: DType;
  /** Elements `start` up to, not including, `end`, in row-major order. */
  read(start: number, end: number): Promise<TypedArray>;
  /** The blocks as they are in another file, where that has the same type. */
  readBlocks?: () => Promise<Uint8Array>;
}

/** Elements converted at a time, in whole rows. */
const RUN = 2 ** 22;
/** ggml keeps names in arrays of 64 bytes, the last of which is 0. */
const LONGEST_NAME = 63;
const HIGHEST_RANK = 4;

const dtypeOf = { F32: "float32", F16: "float16", BF16: "bfloat16", Q8_0: "float32", Q4_0: "float32" } as const;

/**
 * Writes a GGUF file of version 3, tensor by tensor, in the order given. What is at hand at any time is one run of rows.
 *
 * @param target - a path, written atomically, or a function that takes the bytes in order
 * @param fields - metadata in the order in which it is written; `general.alignment` counts, 32 if it is not there
 * @throws CheckpointError if names repeat or are too long, a shape has more than 4 axes, or rows do not fall into blocks
 * @throws DtypeError if a value cannot be quantized
 */
export async function writeGguf(
  target: string | WriteBytes,
  tensors: Iterable<GgufTensorToWrite>,
  fields: GgufFields,
): Promise<void> {
  const planned = plan(tensors, alignmentOf(fields));
  const alignment = alignmentOf(fields);
  const fill = async (write: WriteBytes): Promise<void> => {
    const placed = planned.map(({ tensor: { name, shape, type }, begin }) => ({ name, shape, type, begin }));
    const header = encodeGgufHeader(fields, placed);
    await write(header);
    await write(new Uint8Array(padding(header.length, alignment)));
    for (const entry of planned) await writeTensor(write, entry, alignment);
  };
  await (typeof target === "string" ? writeFileAtomically(target, fill) : fill(target));
}

interface Planned {
  readonly tensor: GgufTensorToWrite;
  readonly count: number;
  readonly begin: number;
  readonly byteLength: number;
}

function alignmentOf(fields: GgufFields): number {
  const value = fields.get("general.alignment")?.value ?? 32;
  if (typeof value === "number" && value >= 8 && Number.isInteger(Math.log2(value))) return value;
  throw new CheckpointError(
    `writeGguf: general.alignment must be a power of two from 8; got ${excerpt(value)}; leave it out`,
    { value },
  );
}

function padding(size: number, alignment: number): number {
  return Math.ceil(size / alignment) * alignment - size;
}

function plan(tensors: Iterable<GgufTensorToWrite>, alignment: number): Planned[] {
  const planned: Planned[] = [];
  const names = new Set<string>();
  let begin = 0;
  for (const tensor of tensors) {
    const { name, type, shape } = tensor;
    const { count } = checkShape(`writeGguf: tensor ${excerpt(name)}`, shape);
    const { block, bytes } = ggufTypes[type];
    const problem = findProblem(tensor, names, block);
    if (problem) throw new CheckpointError(`writeGguf: tensor ${excerpt(name)}: ${problem}`, { name, type, shape });
    names.add(name);
    const byteLength = (count / block) * bytes;
    planned.push({ tensor, count, begin, byteLength });
    begin += byteLength + padding(byteLength, alignment);
  }
  return planned;
}

function findProblem({ name, type, shape }: GgufTensorToWrite, names: Set<string>, block: number): string | undefined {
  if (names.has(name)) return "names must differ; it comes twice; rename it";
  const size = new TextEncoder().encode(name).length;
  if (size > LONGEST_NAME) return `its name must have at most ${LONGEST_NAME} bytes; it has ${size}; shorten it`;
  if (shape.length > HIGHEST_RANK) return `it must have at most ${HIGHEST_RANK} axes; got ${shape.length}; reshape it`;
  const columns = shape.at(-1) ?? 1;
  if (columns % block === 0) return undefined;
  return `rows of ${type} must be a multiple of ${block} long; they have ${columns}; write it as F16`;
}

async function writeTensor(
  write: WriteBytes,
  { tensor, count, byteLength }: Planned,
  alignment: number,
): Promise<void> {
  const { shape, readBlocks } = tensor;
  if (readBlocks) {
    await write(checkSize(tensor, await readBlocks(), byteLength));
  } else {
    const columns = shape.at(-1) ?? 1;
    const run = Math.max(columns, Math.floor(RUN / Math.max(1, columns)) * columns);
    const { block, bytes } = ggufTypes[tensor.type];
    for (let start = 0; start < count; start += run) {
      const end = Math.min(start + run, count);
      await write(checkSize(tensor, await encodeRun(tensor, start, end, columns), ((end - start) / block) * bytes));
    }
  }
  await write(new Uint8Array(padding(byteLength, alignment)));
}

function checkSize({ name, type }: GgufTensorToWrite, bytes: Uint8Array, expected: number): Uint8Array {
  if (bytes.length === expected) return bytes;
  throw new CheckpointError(
    `writeGguf: tensor ${excerpt(name)}: its ${type} must take ${expected} bytes; got ${bytes.length}; pass the elements that belong to its shape`,
    { name, expected, actual: bytes.length },
  );
}

async function encodeRun(tensor: GgufTensorToWrite, start: number, end: number, columns: number): Promise<Uint8Array> {
  const { name, type, dtype } = tensor;
  const given = await tensor.read(start, end);
  const values = dtype === dtypeOf[type] ? given : convertArray(given, dtype, dtypeOf[type]);
  const format = quantizedTypes[type];
  if (!format) return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  try {
    return encodeBlocks(quantizeMatrix(values as Float32Array, (end - start) / columns, columns, format));
  } catch (cause) {
    if (!(cause instanceof MambaError)) throw cause;
    throw new DtypeError(`writeGguf: tensor ${excerpt(name)}: ${cause.message}`, { name, ...cause.facts }, { cause });
  }
}
