import { seedWords } from "../../tensor/random.ts";
import type { Shape } from "../../tensor/shape.ts";
import { allocateTensor, backendOf, type Tensor, type TensorOptions } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { fillUniformOp } from "./operations.ts";

/** Which random numbers: the same seed and stream give the same ones on every device. */
export interface StreamOptions {
  /** Non-negative integer below 2^64. */
  seed: number | bigint;
  /** Independent streams of one seed, below 2^32; default 0. */
  stream?: number;
}

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

/** Seed and stream as the parameters of an op. */
export function streamParams({ seed, stream = 0 }: StreamOptions): {
  seedLow: number;
  seedHigh: number;
  stream: number;
} {
  const [seedLow, seedHigh] = seedWords(seed);
  return { seedLow, seedHigh, stream: stream >>> 0 };
}
