import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { vandermondeOp } from "./operations.ts";

/** Options of {@link vandermonde}. */
export interface VandermondeOptions {
  /** Time steps. */
  readonly length: number;
  /** Whether each term stands for itself and its complex conjugate; default true. */
  readonly conjugate?: boolean;
}

/**
 * Sums of exponentials in time: the convolution kernel of a diagonal state space, for whose states v = C B-bar and x = log A-bar.
 *
 *     k[t, h] = Re sum over n of v[h, n] exp(t x[h, n]),   twice that with `conjugate`
 *
 * No tensor of channels x state x length is made. Angles t Im x are brought to one turn exactly before sine and cosine are taken.
 *
 * @param v - [channels state 2], complex numbers as (real, imaginary)
 * @param x - [channels state 2], real parts at most 0 for a stable system
 * @returns k [length channels]
 * @throws ShapeError if shapes disagree; ConfigError if the length cannot be
 * @see Gu, Gupta, Goel & Ré 2022 (S4D), section 3.3
 */
export function vandermonde(v: Tensor, x: Tensor, options: VandermondeOptions): Tensor {
  const { length, conjugate = true } = options;
  return apply(vandermondeOp, { v, x }, { length, conjugate })["k"]!;
}
