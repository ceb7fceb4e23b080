import { arrayOf, type DType, type TypedArray } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";

/** Element types found in files, as safetensors spells them. */
export type StoredType = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "U32" | "I16" | "I8" | "U8" | "BOOL";

/** How elements lie in a file and what they become in memory. */
export interface StoredTypeFacts {
  readonly dtype: DType;
  /** Bytes of one element in the file. */
  readonly bytes: number;
  /** Set where reading is more than taking the bytes as they are. */
  readonly convert?: (where: string, bytes: Uint8Array<ArrayBuffer>) => TypedArray;
}

/** Every type that can be read. I64 and I16 become int32; BOOL becomes uint8. */
export const storedTypes: Readonly<Record<StoredType, StoredTypeFacts>> = {
  F64: { dtype: "float64", bytes: 8 },
  F32: { dtype: "float32", bytes: 4 },
  F16: { dtype: "float16", bytes: 2 },
  BF16: { dtype: "bfloat16", bytes: 2 },
  I64: { dtype: "int32", bytes: 8, convert: narrow },
  I32: { dtype: "int32", bytes: 4 },
  U32: { dtype: "uint32", bytes: 4 },
  I16: { dtype: "int32", bytes: 2, convert: (_, bytes) => Int32Array.from(new Int16Array(bytes.buffer)) },
  I8: { dtype: "int8", bytes: 1 },
  U8: { dtype: "uint8", bytes: 1 },
  BOOL: { dtype: "uint8", bytes: 1 },
};

/** Whether a name from a file is a type that can be read. */
export function isStoredType(name: unknown): name is StoredType {
  return typeof name === "string" && Object.hasOwn(storedTypes, name);
}

/**
 * Turns bytes as they lie in a file (little-endian) into an array.
 *
 * @throws CheckpointError if an I64 value does not fit int32
 */
export function decodeElements(where: string, type: StoredType, bytes: Uint8Array<ArrayBuffer>): TypedArray {
  const { dtype, convert } = storedTypes[type];
  // a view needs its bytes to begin the buffer; sources promise that, others are copied
  const own = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
  return convert ? convert(where, own) : new (arrayOf(dtype))(own.buffer);
}

function narrow(where: string, bytes: Uint8Array<ArrayBuffer>): Int32Array {
  const words = new Int32Array(bytes.buffer);
  const out = new Int32Array(words.length / 2);
  for (let i = 0; i < out.length; i++) {
    const low = words[2 * i]!;
    // the high word of a value that fits repeats the low word's sign
    if (words[2 * i + 1] !== low >> 31) {
      const value = new BigInt64Array(bytes.buffer)[i];
      throw new CheckpointError(
        `${where}: 64-bit integers must fit 32 bits; element ${i} is ${value}; they are no ids`,
        {
          element: i,
          value,
        },
      );
    }
    out[i] = low;
  }
  return out;
}
