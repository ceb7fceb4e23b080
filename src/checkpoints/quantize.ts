import { CheckpointError } from "../tensor/errors.ts";
import { BLOCK, checkBlocks, type QuantizedMatrix, type QuantizedType } from "../tensor/quantize.ts";

/** Bytes of one block in a GGUF file: the scale, then the values. */
export function blockBytes(dtype: QuantizedType): number {
  return dtype === "int8" ? 2 + BLOCK : 2 + BLOCK / 2;
}

/** A quantized matrix as it lies in a GGUF file: blocks one after another, each its scale and then its values. */
export function encodeBlocks({ dtype, scales, values }: QuantizedMatrix): Uint8Array<ArrayBuffer> {
  const stride = blockBytes(dtype);
  const payload = stride - 2;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const out = new Uint8Array(scales.length * stride);
  for (let block = 0; block < scales.length; block++) {
    const at = block * stride;
    out[at] = scales[block]! & 255;
    out[at + 1] = scales[block]! >> 8;
    for (let j = 0; j < payload; j++) out[at + 2 + j] = bytes[block * payload + j]!;
  }
  return out;
}

/**
 * Takes the blocks of a GGUF file apart, as {@link encodeBlocks} put them together.
 *
 * @throws ShapeError unless columns is a multiple of 32
 * @throws CheckpointError if the bytes are not those of that many blocks
 */
export function decodeBlocks(bytes: Uint8Array, rows: number, columns: number, dtype: QuantizedType): QuantizedMatrix {
  checkBlocks("decodeBlocks", rows, columns);
  const stride = blockBytes(dtype);
  const payload = stride - 2;
  const count = (rows * columns) / BLOCK;
  if (bytes.length !== count * stride) {
    throw new CheckpointError(
      `decodeBlocks: ${dtype} of ${rows} times ${columns} must take ${count * stride} bytes; got ${bytes.length}; pass all blocks of one matrix`,
      { rows, columns, dtype, expected: count * stride, actual: bytes.length },
    );
  }
  const scales = new Uint16Array(count);
  const packed = new Uint8Array(count * payload);
  for (let block = 0; block < count; block++) {
    const at = block * stride;
    scales[block] = bytes[at]! | (bytes[at + 1]! << 8);
    for (let j = 0; j < payload; j++) packed[block * payload + j] = bytes[at + 2 + j]!;
  }
  return { dtype, rows, columns, scales, values: dtype === "int8" ? new Int8Array(packed.buffer) : packed };
}
