import { DtypeError, ShapeError } from "./errors.ts";
import { BLOCK, checkBlocks, type QuantizedMatrix } from "./quantize.ts";
import { allocateTensor, backendOf, type Tensor, type TensorOptions } from "./tensor.ts";
import { weightTypesOf } from "./weight-formats.ts";

/**
 * Makes a weight [rows columns] of type int8 or int4 from rounded host data.
 *
 * Products and look-ups take it, after `packWeight()` on the wasm device; nothing else does, and it has no gradient. `read()`
 * gives the values it stands for in float32.
 *
 * @throws DtypeError if the device has no such weights
 * @throws ShapeError if scales or values are not those of a whole matrix
 */
export function quantizedTensor(matrix: QuantizedMatrix, { device }: Pick<TensorOptions, "device">): Tensor {
  const { dtype, rows, columns, scales, values } = matrix;
  const known = weightTypesOf(device.name);
  if (!known.includes(dtype)) {
    throw new DtypeError(
      `quantizedTensor: weights on ${device.name} must be ${known.join(" or ")}; got ${dtype}; use dequantizeMatrix(), or device wasm`,
      { dtype, device: device.name },
    );
  }
  checkBlocks("quantizedTensor", rows, columns);
  const expected = [(rows * columns) / BLOCK, (rows * columns) / (dtype === "int8" ? 1 : 2)];
  if (scales.length !== expected[0] || values.length !== expected[1]) {
    throw new ShapeError(
      `quantizedTensor: ${dtype} of ${rows} times ${columns} must have ${expected.join(" scales and ")} values; got ${scales.length} and ${values.length}; pass the whole matrix`,
      { rows, columns, dtype },
    );
  }
  const backend = backendOf(device);
  const made = allocateTensor(backend, dtype, [rows, columns], "blocks");
  const bytes = (part: Uint16Array | Int8Array | Uint8Array): Uint8Array =>
    new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  backend.write(made.storage.memory, 0, bytes(values));
  backend.write(made.storage.memory, values.byteLength, bytes(scales));
  return made;
}
