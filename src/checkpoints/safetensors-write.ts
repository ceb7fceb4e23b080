import { type WriteBytes, writeFileAtomically } from "#platform";
import { arrayOf, type DType, type TypedArray } from "../tensor/dtype.ts";
import { CheckpointError, DtypeError } from "../tensor/errors.ts";
import { formatShape } from "../tensor/shape.ts";
import { type StoredType, storedTypes } from "./stored-types.ts";
import { checkShape, excerpt } from "./tensor-entry.ts";

/** A tensor to write whose elements are at hand. */
export interface TensorData {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** A tensor to write: its elements, or a function that fetches them when their turn comes, as a `TensorEntry` has. */
export type TensorToWrite = TensorData | (Omit<TensorData, "data"> & { read(): Promise<TypedArray> });

/**
 * Writes a safetensors file, tensor by tensor.
 *
 * The same tensors and metadata give the same bytes, in whatever order they come: larger element types first, then by
 * name, so that every tensor is aligned; the header is padded to 8 bytes.
 *
 * @param target - a path, written atomically, or a function that takes the bytes in order
 * @throws CheckpointError if names repeat or elements do not fit their shape; DtypeError for int4, which has no form here
 */
export async function writeSafetensors(
  target: string | WriteBytes,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const planned = plan(tensors);
  const fill = async (write: WriteBytes): Promise<void> => {
    await write(encodeHeader(planned, metadata));
    for (const { tensor, count } of planned) {
      await write(elementBytes(tensor, count, "data" in tensor ? tensor.data : await tensor.read()));
    }
  };
  await (typeof target === "string" ? writeFileAtomically(target, fill) : fill(target));
}

/**
 * Encodes tensors as the bytes of a safetensors file; see {@link writeSafetensors}.
 *
 * @throws CheckpointError if names repeat or elements do not fit their shape; DtypeError for int4, which has no form here
 */
export function encodeSafetensors(
  tensors: Iterable<TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const planned = plan(tensors);
  const header = encodeHeader(planned, metadata);
  const out = new Uint8Array(header.length + planned.reduce((sum, { byteLength }) => sum + byteLength, 0));
  out.set(header);
  let at = header.length;
  for (const { tensor, count, byteLength } of planned) {
    out.set(elementBytes(tensor, count, tensor.data), at);
    at += byteLength;
  }
  return out;
}

interface Planned<Tensor extends TensorToWrite> {
  readonly tensor: Tensor;
  readonly storedType: StoredType;
  readonly count: number;
  readonly byteLength: number;
}

const storedTypeOf: Readonly<Record<DType, StoredType | undefined>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int32: "I32",
  uint32: "U32",
  uint8: "U8",
  int8: "I8",
  int4: undefined,
};

function plan<Tensor extends TensorToWrite>(tensors: Iterable<Tensor>): Planned<Tensor>[] {
  const planned: Planned<Tensor>[] = [];
  const names = new Set<string>();
  for (const tensor of tensors) {
    const { name, dtype } = tensor;
    if (names.has(name) || name === "__metadata__") {
      const problem = name === "__metadata__" ? "is reserved" : "comes twice";
      throw new CheckpointError(`writeSafetensors: names must differ; ${excerpt(name)} ${problem}; rename it`, {
        name,
      });
    }
    names.add(name);
    const storedType = storedTypeOf[dtype];
    if (!storedType) {
      const message = `writeSafetensors: ${name} is ${dtype}, which safetensors cannot hold; store its blocks as uint8`;
      throw new DtypeError(message, { tensor: name, dtype });
    }
    const { count } = checkShape(`writeSafetensors: tensor ${name}`, tensor.shape);
    planned.push({ tensor, storedType, count, byteLength: count * storedTypes[storedType].bytes });
  }
  return planned.sort((a, b) => byAlignment(a.storedType, b.storedType) || byName(a.tensor.name, b.tensor.name));
}

function byAlignment(a: StoredType, b: StoredType): number {
  return storedTypes[b].bytes - storedTypes[a].bytes;
}

function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function encodeHeader(
  planned: readonly Planned<TensorToWrite>[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: [string, unknown][] = [];
  const described = Object.entries(metadata).sort(([a], [b]) => byName(a, b));
  if (described.length) entries.push(["__metadata__", Object.fromEntries(described)]);
  let at = 0;
  for (const { tensor, storedType, byteLength } of planned) {
    entries.push([tensor.name, { dtype: storedType, shape: tensor.shape, data_offsets: [at, at + byteLength] }]);
    at += byteLength;
  }
  const text = new TextEncoder().encode(toJson(entries));
  const header = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(text, 8);
  return header;
}

/** An object with its keys in the order given; one made of properties would put keys like `1` first. */
function toJson(entries: readonly [string, unknown][]): string {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
}

function elementBytes({ name, dtype, shape }: TensorToWrite, count: number, data: TypedArray): Uint8Array {
  if (data.length !== count || data.BYTES_PER_ELEMENT !== arrayOf(dtype).BYTES_PER_ELEMENT) {
    throw new CheckpointError(
      `writeSafetensors: ${name} must have ${count} elements of ${dtype} for shape ${formatShape(shape)}; ` +
        `got ${data.length} of ${data.BYTES_PER_ELEMENT} bytes; pass the array that belongs to it`,
      { tensor: name, expected: count, actual: data.length },
    );
  }
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
