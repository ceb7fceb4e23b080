/**
 * Element types.
 *
 * `float64` lives on the reference device only. `float16` and `bfloat16` are held as their 16 bits in a
 * Uint16Array on the host. `int8` and `int4` are weight formats: matrices [rows columns] in blocks of 32 along their rows,
 * each with one float16 scale; see `quantizeMatrix`.
 */
export type DType = "float64" | "float32" | "float16" | "bfloat16" | "int32" | "uint32" | "uint8" | "int8" | "int4";

/** Host arrays that hold tensor data. */
export type TypedArray =
  | Float64Array<ArrayBufferLike>
  | Float32Array<ArrayBufferLike>
  | Uint16Array<ArrayBufferLike>
  | Int32Array<ArrayBufferLike>
  | Uint32Array<ArrayBufferLike>
  | Uint8Array<ArrayBufferLike>
  | Int8Array<ArrayBufferLike>;

type TypedArrayConstructor = {
  new (length: number): TypedArray;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TypedArray;
  readonly BYTES_PER_ELEMENT: number;
};

const arrays: Record<DType, TypedArrayConstructor> = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  int4: Uint8Array,
};

/** The host array class whose elements have the bits of `dtype`. */
export function arrayOf(dtype: DType): TypedArrayConstructor {
  return arrays[dtype];
}

/** Bytes of one element; for block formats, of one element's payload without the scale. */
export function bytesPerElement(dtype: DType): number {
  return dtype === "int4" ? 0.5 : arrays[dtype].BYTES_PER_ELEMENT;
}

/** True for the types that gradients exist for. */
export function isFloat(dtype: DType): boolean {
  return dtype === "float64" || dtype === "float32" || dtype === "float16" || dtype === "bfloat16";
}

const scratch = new DataView(new ArrayBuffer(4));

/** The value of 16 bits read as IEEE 754 binary16. */
export function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The binary16 bits nearest to `value`, ties to even. */
export function numberToFloat16(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | roundTiesToEven(magnitude * 2 ** 24);
  const exponent = floorLog2(magnitude);
  const mantissa = roundTiesToEven((magnitude * 2 ** -exponent - 1) * 1024);
  return sign | (((exponent + 15) << 10) + mantissa);
}

function floorLog2(magnitude: number): number {
  scratch.setFloat32(0, magnitude);
  const exponent = ((scratch.getUint32(0) >>> 23) & 255) - 127;
  // rounding to float32 may have carried into the next power of two
  return magnitude < 2 ** exponent ? exponent - 1 : exponent;
}

function roundTiesToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest > 0.5 || (rest === 0.5 && floor % 2 === 1)) return floor + 1;
  return floor;
}

/** The value of 16 bits read as bfloat16. */
export function bfloat16ToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The bfloat16 bits nearest to `value` rounded to float32, ties to even. */
export function numberToBfloat16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if (Number.isNaN(value)) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

let float16Table: Float32Array | undefined;

/** All 65,536 binary16 values, made on first use; a look-up is several times faster than the arithmetic. */
export function float16Values(): Float32Array {
  if (!float16Table) {
    float16Table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) float16Table[bits] = float16ToNumber(bits);
  }
  return float16Table;
}

/** Copies `data`, whose bits are of type `from`, into a new array of type `to`, converting every element. */
export function convertArray(data: TypedArray, from: DType, to: DType): TypedArray {
  if (from === to) return data.slice();
  const out = new (arrayOf(to))(data.length);
  const load = loader(from);
  const store = storer(to);
  for (let i = 0; i < data.length; i++) out[i] = store(load(data[i]!));
  return out;
}

function loader(dtype: DType): (bits: number) => number {
  if (dtype === "float16") {
    const table = float16Values();
    return (bits) => table[bits]!;
  }
  if (dtype === "bfloat16") return bfloat16ToNumber;
  return (value) => value;
}

function storer(dtype: DType): (value: number) => number {
  if (dtype === "float16") return numberToFloat16;
  if (dtype === "bfloat16") return numberToBfloat16;
  return (value) => value;
}
