import type { Shape } from "../../tensor/shape.ts";
import { allocateTensor, backendOf, type Tensor, type TensorOptions } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { fillUniformOp, type StreamOptions, streamParams } from "./operations.ts";

export type { StreamOptions } from "./operations.ts";

/**
 * Uniform random numbers in [0, 1), multiples of 2^-24, made on the device.
 *
 * Element i (row-major) is `(w >>> 8) * 2^-24` of word w = i of the stream: bit-equal on every device, and to
 * `new Random(seed, stream).uniforms(size)` on the host.
 *
 * @param shape - sizes
 * @param options - device, element type (default float32), seed and stream
 * @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"
 */
export function randomUniform(shape: Shape, options: TensorOptions & StreamOptions): Tensor {
  const y = allocateTensor(backendOf(options.device), options.dtype ?? "float32", shape);
  apply(fillUniformOp, { y }, streamParams(options));
  return y;
}
