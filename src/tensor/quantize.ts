import { type DType, float16Values, numberToFloat16, type TypedArray } from "./dtype.ts";
import { DtypeError, ShapeError } from "./errors.ts";

/** Elements that share a scale. */
export const BLOCK = 32;

/** Block formats for weights: int8 is GGUF's Q8_0, int4 its Q4_0. */
export type QuantizedType = "int8" | "int4";

/**
 * A matrix in blocks of 32 along its rows, each with one float16 scale.
 *
 *     int8   w = scale * value                       (GGUF's Q8_0)
 *     int4   w = scale * (value - 8), value 0 to 15  (GGUF's Q4_0)
 */
export interface QuantizedMatrix {
  readonly dtype: QuantizedType;
  readonly rows: number;
  /** A multiple of 32. */
  readonly columns: number;
  /** Bits of the float16 scales [rows columns/32]. */
  readonly scales: Uint16Array;
  /**
   * int8: Int8Array [rows columns]. int4: Uint8Array [rows columns/32 16], where byte j of a block holds element j in its
   * low half and element j + 16 in its high half.
   */
  readonly values: Int8Array | Uint8Array;
}

/**
 * Rounds a matrix to blocks of 32, bit for bit as ggml's reference quantizer does it in float32:
 *
 *     int8   scale = max |w| / 127;  value = round(w / scale), halves away from zero
 *     int4   scale = m / -8, m the element of largest magnitude, the first of equals;  value = min(15, floor(w / scale + 8.5))
 *
 * The quotient is a product with the float32 reciprocal of the scale before that is rounded to float16.
 *
 * @param values - [rows columns], finite
 * @throws ShapeError unless columns is a multiple of 32 and values has rows times columns elements
 * @throws DtypeError if a value is not finite or a scale is beyond float16
 */
export function quantizeMatrix(
  values: Float32Array,
  rows: number,
  columns: number,
  dtype: QuantizedType,
): QuantizedMatrix {
  checkBlocks("quantizeMatrix", rows, columns);
  if (values.length !== rows * columns) {
    throw new ShapeError(
      `quantizeMatrix: values must have ${rows} times ${columns} elements; got ${values.length}; pass the whole matrix`,
      { rows, columns, actual: values.length },
    );
  }
  const blocks = values.length / BLOCK;
  const scales = new Uint16Array(blocks);
  const out = dtype === "int8" ? new Int8Array(values.length) : new Uint8Array(values.length / 2);
  const round = dtype === "int8" ? roundBlockToInt8 : roundBlockToInt4;
  for (let block = 0; block < blocks; block++) {
    const scale = numberToFloat16(round(values, block, out));
    // all bits of the exponent: infinity or NaN
    if ((scale & 0x7c00) === 0x7c00) throw blockNotRepresentable(values, block, dtype);
    scales[block] = scale;
  }
  return { dtype, rows, columns, scales, values: out };
}

/** The values that a quantized matrix stands for, [rows columns]. */
export function dequantizeMatrix({ dtype, scales, values }: QuantizedMatrix): Float32Array<ArrayBuffer> {
  const out = new Float32Array(scales.length * BLOCK);
  const float16 = float16Values();
  for (let block = 0; block < scales.length; block++) {
    const scale = float16[scales[block]!]!;
    const at = block * BLOCK;
    if (dtype === "int8") {
      for (let j = 0; j < BLOCK; j++) out[at + j] = scale * values[at + j]!;
    } else {
      for (let j = 0; j < BLOCK / 2; j++) {
        const pair = values[at / 2 + j]!;
        out[at + j] = scale * ((pair & 15) - 8);
        out[at + BLOCK / 2 + j] = scale * ((pair >> 4) - 8);
      }
    }
  }
  return out;
}

/**
 * Activations as products with int8 and int4 weights see them: rounded to int8 in blocks of 32 as by {@link quantizeMatrix},
 * except that scales stay in float32.
 *
 * @param values - rows of a multiple of 32 elements; rounded to float32 first
 * @returns scale times value, exact in float64
 */
export function roundActivations(values: TypedArray): Float64Array<ArrayBuffer> {
  const rows = Float32Array.from(values);
  const rounded = new Int8Array(rows.length);
  const out = new Float64Array(rows.length);
  for (let block = 0; block < rows.length / BLOCK; block++) {
    const scale = roundBlockToInt8(rows, block, rounded);
    for (let i = block * BLOCK; i < (block + 1) * BLOCK; i++) out[i] = scale * rounded[i]!;
  }
  return out;
}

/** Throws unless a matrix can be cut into blocks. */
export function checkBlocks(where: string, rows: number, columns: number): void {
  if (Number.isSafeInteger(rows) && rows >= 0 && Number.isSafeInteger(columns) && columns >= 0 && columns % BLOCK === 0)
    return;
  throw new ShapeError(
    `${where}: columns must be a multiple of ${BLOCK}, the size of a block; got [${rows} ${columns}]; keep this matrix in float16 or float32`,
    { rows, columns },
  );
}

/** Writes one block's values; gives its scale in float32, NaN if a value is NaN. */
function roundBlockToInt8(values: Float32Array, block: number, out: Int8Array | Uint8Array): number {
  const at = block * BLOCK;
  let largest = 0;
  for (let j = 0; j < BLOCK; j++) largest = Math.max(largest, Math.abs(values[at + j]!));
  const scale = Math.fround(largest / 127);
  const inverse = inverseOf(scale);
  for (let j = 0; j < BLOCK; j++) {
    const scaled = Math.fround(values[at + j]! * inverse);
    // float64 holds the sum exactly, so that halves go away from zero and nothing else does
    out[at + j] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(0.5 + scaled);
  }
  return scale;
}

/** As {@link roundBlockToInt8}, for int4. */
function roundBlockToInt4(values: Float32Array, block: number, out: Int8Array | Uint8Array): number {
  const at = block * BLOCK;
  let largest = 0;
  let extreme = 0;
  let sum = 0;
  for (let j = 0; j < BLOCK; j++) {
    const value = values[at + j]!;
    sum += value;
    if (Math.abs(value) <= largest) continue;
    largest = Math.abs(value);
    extreme = value;
  }
  const scale = Math.fround(extreme / -8);
  const inverse = inverseOf(scale);
  for (let j = 0; j < BLOCK / 2; j++) {
    const low = toInt4(values[at + j]!, inverse);
    out[at / 2 + j] = low | (toInt4(values[at + BLOCK / 2 + j]!, inverse) << 4);
  }
  // no NaN is larger than anything, but a sum cannot hide it
  return Number.isNaN(sum) ? Number.NaN : scale;
}

function toInt4(value: number, inverse: number): number {
  return Math.min(15, Math.trunc(Math.fround(Math.fround(value * inverse) + 8.5)));
}

/** Float32 reciprocal; 0 for a scale of zero, and for one so small that float32 has no reciprocal: float16 rounds it to zero. */
function inverseOf(scale: number): number {
  const inverse = Math.fround(1 / scale);
  return Number.isFinite(inverse) ? inverse : 0;
}

/** The error of rounding a weight to a type that cannot hold it. */
export function notRepresentable(op: string, dtype: DType): DtypeError {
  return new DtypeError(
    `${op}: values must be finite and within ${dtype}; some are not; keep this weight in bfloat16 or float32`,
    { op, dtype },
  );
}

function blockNotRepresentable(values: Float32Array, block: number, dtype: QuantizedType): DtypeError {
  const at = block * BLOCK;
  const index = values.subarray(at, at + BLOCK).findIndex((value) => !Number.isFinite(value));
  const largest = values.subarray(at, at + BLOCK).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const came = index < 0 ? `a block reaches ${largest}` : `element ${at + index} is ${values[at + index]}`;
  const must = "values must be finite, and small enough that a block's scale is within float16";
  return new DtypeError(`quantizeMatrix: ${must}; ${came}; keep this matrix in float32`, { block, dtype });
}
