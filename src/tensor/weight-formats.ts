import type { DeviceName } from "./device.ts";
import { bytesPerElement, type DType, float16Values, type TypedArray } from "./dtype.ts";
import { BLOCK, dequantizeMatrix, type QuantizedMatrix, type QuantizedType } from "./quantize.ts";
import { type Shape, sizeOf } from "./shape.ts";

/**
 * How elements lie in storage.
 *
 * `strided`: by strides, last axis 1.
 *
 * `blocks`: an int8 or int4 weight [rows columns] as on the host: all values of a {@link QuantizedMatrix}, then all its scales.
 *
 * `panels8`: a weight [rows columns] in the order in which matrix kernels read it: panels of 8 rows, rows past the end zero.
 * float32, float16 and bfloat16 as [ceil(rows / 8)] [columns] [8]. int8 and int4 as [ceil(rows / 8)] [columns / 32] blocks of
 *
 *     int8   values [16 pairs of columns] [8 rows] [2], then float16 scales [8]: 272 bytes
 *            or, on a device with the feature `byte-dot`, values plus 128 [8 fours of columns] [8 rows] [4]
 *     int4   bytes [4 groups of 8 columns] [8 rows] [4], then float16 scales [8]: 144 bytes; byte b of a group holds
 *            its column b in the low half and b + 4 in the high half
 */
export type Layout = "strided" | "blocks" | "panels8";

/** Element types that weights of products and embeddings may have. */
const weightTypes: Readonly<Record<DeviceName, readonly DType[]>> = {
  reference: ["float64", "float32", "float16", "bfloat16", "int8", "int4"],
  wasm: ["float32", "float16", "bfloat16", "int8", "int4"],
  webgpu: ["float32", "float16", "int8", "int4"],
};

/** Element types that weights of products and embeddings may have on a device; activations are float32 with any of them. */
export function weightTypesOf(device: DeviceName): readonly DType[] {
  return weightTypes[device];
}

/** Whether a type is one of the block formats. */
export function isQuantized(dtype: DType): dtype is QuantizedType {
  return dtype === "int8" || dtype === "int4";
}

const scaleBytes = 2;
const panelRows = 8;

/** Bytes of a tensor's storage. */
export function storageBytes(dtype: DType, shape: Shape, layout: Layout): number {
  if (layout === "panels8") return Math.ceil(shape[0]! / panelRows) * panelBytes(dtype, shape[1]!);
  const scales = layout === "blocks" ? sizeOf(shape) / BLOCK : 0;
  return Math.ceil(sizeOf(shape) * bytesPerElement(dtype)) + scales * scaleBytes;
}

function panelBytes(dtype: DType, columns: number): number {
  const scales = isQuantized(dtype) ? columns / BLOCK : 0;
  return panelRows * (columns * bytesPerElement(dtype) + scales * scaleBytes);
}

/** A matrix from the bytes of layout `blocks`. */
export function matrixFromBlocks(bytes: Uint8Array, dtype: QuantizedType, [rows, columns]: Shape): QuantizedMatrix {
  const count = rows! * columns! * bytesPerElement(dtype);
  const own = bytes.slice();
  const scales = new Uint16Array(own.buffer, count);
  const values = dtype === "int8" ? new Int8Array(own.buffer, 0, count) : new Uint8Array(own.buffer, 0, count);
  return { dtype, rows: rows!, columns: columns!, scales, values };
}

/**
 * The elements of a weight from the bytes of layout `panels8`, row by row; of int8 and int4 the values they stand for.
 *
 * @param fours - whether the device keeps int8 in fours of columns
 */
export function elementsOfPanels(bytes: Uint8Array, dtype: DType, shape: Shape, fours: boolean): TypedArray {
  if (isQuantized(dtype)) return dequantizeMatrix(matrixFromPanels(bytes, dtype, shape, fours));
  const [rows, columns] = shape as [number, number];
  const Elements = dtype === "float32" ? Float32Array : Uint16Array;
  const packed = new Elements(
    bytes.buffer as ArrayBuffer,
    bytes.byteOffset,
    bytes.byteLength / Elements.BYTES_PER_ELEMENT,
  );
  const out = new Elements(rows * columns);
  for (let row = 0; row < rows; row++) {
    const panel = (row >> 3) * columns * panelRows + (row & 7);
    for (let column = 0; column < columns; column++) out[row * columns + column] = packed[panel + column * panelRows]!;
  }
  return out;
}

/** A matrix from the bytes of layout `panels8`. */
function matrixFromPanels(
  bytes: Uint8Array,
  dtype: QuantizedType,
  [rows, columns]: Shape,
  fours: boolean,
): QuantizedMatrix {
  const blocks = columns! / BLOCK;
  const payload = BLOCK * bytesPerElement(dtype);
  const stride = panelRows * (payload + scaleBytes);
  const scales = new Uint16Array(rows! * blocks);
  const values = new Uint8Array(rows! * blocks * payload);
  for (let row = 0; row < rows!; row++) {
    for (let block = 0; block < blocks; block++) {
      const at = ((row >> 3) * blocks + block) * stride;
      const own = row * blocks + block;
      const scale = at + panelRows * payload + (row & 7) * scaleBytes;
      scales[own] = bytes[scale]! | (bytes[scale + 1]! << 8);
      if (dtype === "int8" && fours) copyFours(bytes, at, row & 7, values, own * payload);
      else if (dtype === "int8") copyInt8(bytes, at, row & 7, values, own * payload);
      else copyInt4(bytes, at, row & 7, values, own * payload);
    }
  }
  return {
    dtype,
    rows: rows!,
    columns: columns!,
    scales,
    values: dtype === "int8" ? new Int8Array(values.buffer) : values,
  };
}

function copyInt8(bytes: Uint8Array, at: number, row: number, to: Uint8Array, start: number): void {
  for (let j = 0; j < BLOCK; j++) to[start + j] = bytes[at + (j >> 1) * 2 * panelRows + 2 * row + (j & 1)]!;
}

function copyFours(bytes: Uint8Array, at: number, row: number, to: Uint8Array, start: number): void {
  for (let j = 0; j < BLOCK; j++) to[start + j] = bytes[at + (j >> 2) * 4 * panelRows + 4 * row + (j & 3)]! ^ 128;
}

/** From halves 4 columns apart to halves 16 apart. */
function copyInt4(bytes: Uint8Array, at: number, row: number, to: Uint8Array, start: number): void {
  const half = (j: number): number => (bytes[at + (j >> 3) * 4 * panelRows + 4 * row + (j & 3)]! >> (j & 4)) & 15;
  for (let j = 0; j < BLOCK / 2; j++) to[start + j] = half(j) | (half(j + BLOCK / 2) << 4);
}

/** The values of 16-bit floats. */
export function widened(bits: TypedArray, dtype: "float16" | "bfloat16"): Float32Array<ArrayBuffer> {
  if (dtype === "bfloat16") return new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
  const values = float16Values();
  return Float32Array.from(bits, (half) => values[half]!);
}
