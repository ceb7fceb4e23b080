import type { DType, TypedArray } from "../tensor/dtype.ts";
import { bytesPerElement } from "../tensor/dtype.ts";
import { CheckpointError, OutOfMemoryError } from "../tensor/errors.ts";
import type { QuantizedMatrix } from "../tensor/quantize.ts";
import { formatShape } from "../tensor/shape.ts";
import type { GgufType } from "./gguf-types.ts";
import type { StoredType } from "./stored-types.ts";

/** One tensor of a checkpoint; its bytes stay in the file until they are read. */
export interface TensorEntry {
  readonly name: string;
  /** Element type of what `read` gives. */
  readonly dtype: DType;
  /** Element type in the file, as safetensors and GGUF spell it: `F32`, `BF16`, `I64`, `Q8_0`, ... */
  readonly storedType: StoredType | GgufType;
  readonly shape: readonly number[];
  /** Size of what `read` gives. */
  readonly byteLength: number;
  /** Size in the file. */
  readonly storedByteLength: number;
  /** Reads a matrix that is stored in blocks of int8 or int4 as it is; only there if it is. */
  readonly readQuantized?: () => Promise<QuantizedMatrix>;
  /**
   * Reads the elements from `start` up to, not including, `end`, counted in row-major order; default all.
   *
   * @throws CheckpointError if an I64 value does not fit int32
   */
  read(start?: number, end?: number): Promise<TypedArray>;
}

/** An open checkpoint: its tensors by name. */
export interface TensorFile {
  readonly name: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** What the file says about itself. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Lets go of the file; entries cannot be read afterwards. */
  close(): Promise<void>;
}

/** How the bytes of a tensor are found. */
export interface EntryFacts {
  readonly name: string;
  readonly storedType: StoredType | GgufType;
  /** Element type of what is read. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly storedByteLength: number;
  /** Reads elements `start` to `end`. */
  readonly readStored: (start: number, end: number) => Promise<TypedArray>;
}

/** Makes an entry that checks the range it is asked for. */
export function tensorEntry(facts: EntryFacts): TensorEntry {
  const { name, storedType, dtype, shape, storedByteLength } = facts;
  const count = shape.reduce((product, size) => product * size, 1);
  return {
    name,
    dtype,
    storedType,
    shape,
    byteLength: count * bytesPerElement(dtype),
    storedByteLength,
    async read(start = 0, end = count) {
      if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end && end <= count)) {
        throw new CheckpointError(
          `tensor ${name}: elements to read must lie within its ${count}; got ${start} to ${end}`,
          { tensor: name, start, end },
        );
      }
      return guardMemory(name, () => facts.readStored(start, end));
    },
  };
}

async function guardMemory(name: string, read: () => Promise<TypedArray>): Promise<TypedArray> {
  try {
    return await read();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    const message = `tensor ${name}: this host cannot make an array that large (${cause.message}); read it in parts`;
    throw new OutOfMemoryError(message, { tensor: name }, { cause });
  }
}

/** The largest number of axes that a checkpoint's tensor may have. */
const highestRank = 8;

/**
 * Checks a shape read from a file and gives its number of elements.
 *
 * @throws CheckpointError unless it is a list of at most 8 sizes whose product is a safe integer
 */
export function checkShape(where: string, shape: unknown): { shape: number[]; count: number } {
  const sizes: readonly unknown[] = Array.isArray(shape) ? shape : [undefined];
  // the rank first: a long list that many tensors of a hostile file share must not be walked for each of them
  if (sizes.length > highestRank) {
    throw new CheckpointError(
      `${where}: a tensor must have at most ${highestRank} axes; got ${sizes.length}; the file is damaged`,
      { rank: sizes.length },
    );
  }
  if (!sizes.every((size): size is number => Number.isSafeInteger(size) && (size as number) >= 0)) {
    throw new CheckpointError(`${where}: shape must be a list of sizes; got ${excerpt(shape)}; the file is damaged`, {
      shape: excerpt(shape),
    });
  }
  // zeros first: [huge huge 0] is an empty tensor, not an overflow
  const count = sizes.includes(0) ? 0 : sizes.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count)) {
    throw new CheckpointError(
      `${where}: a tensor must have fewer than 2^53 elements; got shape ${formatShape(sizes)}; the file is damaged`,
      { shape: sizes },
    );
  }
  return { shape: [...sizes], count };
}

/** A short rendering of a value from a file, for messages. Looks one level deep: files may nest or repeat without end. */
export function excerpt(value: unknown): string {
  if (!Array.isArray(value)) return leaf(value, "{...}");
  const shown = value.slice(0, 8).map((item) => leaf(item, "..."));
  return `[${shown.join(",")}${value.length > shown.length ? ",..." : ""}]`;
}

function leaf(value: unknown, nested: string): string {
  if (typeof value === "object" && value !== null) return nested;
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
}
