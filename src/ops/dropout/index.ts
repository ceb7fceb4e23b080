import { ConfigError, ShapeError } from "../../tensor/errors.ts";
import { formatShape, type Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { dense, reshapeOp } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { type StreamOptions, streamParams } from "../random/operations.ts";
import { dropoutOp } from "./operations.ts";

/** Options of {@link dropout} and {@link tiedDropout}. */
export interface DropoutOptions extends StreamOptions {
  /** Probability of an element to be zeroed, 0 to 1. */
  p: number;
}

/**
 * Zeroes every element with probability p and scales the others, so that the expectation stays.
 *
 *     y[i] = x[i] / (1 - p) if u[i] >= p, else 0;  u = randomUniform of the same seed and stream
 *
 * The mask is not kept for backward but made again from seed and stream: give every use in a step a stream of
 * its own. p is rounded to a multiple of 2^-24, so the mask is the same on every device.
 *
 * @param x - any shape
 * @param options - see {@link DropoutOptions}
 * @throws ConfigError if p is not a probability
 * @see Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting"
 */
export function dropout(x: Tensor, options: DropoutOptions): Tensor {
  return masked("dropout", x, [1, 1, x.size], options);
}

/**
 * Dropout with one mask for each batch and channel, shared over the length, as S4 uses it.
 *
 * @param x - [batch length channels]
 * @param options - see {@link DropoutOptions}; element [b, l, c] follows uniform b channels + c of the stream
 * @throws ConfigError if p is not a probability; ShapeError if x does not have three axes
 * @see Gu et al. 2022, "Efficiently modeling long sequences with structured state spaces"; its code ties masks so
 */
export function tiedDropout(x: Tensor, options: DropoutOptions): Tensor {
  if (x.shape.length !== 3) {
    throw new ShapeError(
      `tiedDropout: x must have shape [batch length channels]; got ${formatShape(x.shape)}; reshape it to 3 axes`,
      { op: "tiedDropout", argument: "x", actual: x.shape },
    );
  }
  return masked("tiedDropout", x, x.shape, options);
}

function masked(where: string, x: Tensor, folded: Shape, options: DropoutOptions): Tensor {
  const { p } = options;
  if (!(p >= 0 && p <= 1)) {
    throw new ConfigError(`${where}: p must be in 0 to 1; got ${p}; pass a probability`, { key: "p", actual: p });
  }
  if (p === 0) return x;
  const params = { ...streamParams(options), threshold: Math.round(p * 2 ** 24), scale: p === 1 ? 0 : 1 / (1 - p) };
  const y = apply(dropoutOp, { x: reshaped(x, folded) }, params)["y"]!;
  return reshaped(y, x.shape);
}

function reshaped(x: Tensor, shape: Shape): Tensor {
  return apply(reshapeOp, { x: dense(x) }, { shape })["y"]!;
}
