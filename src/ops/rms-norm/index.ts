import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { addRmsNormOp, rmsNormOp } from "./operations.ts";

/** Options of the norms. */
export interface NormOptions {
  /** Added to the mean square or variance; default 1e-5. */
  epsilon?: number;
  /** [... channels] added to `x` before the norm: the residual stream. */
  residual?: Tensor;
}

/**
 * Root-mean-square norm over the last axis, with the addition to a residual stream fused in.
 *
 *     sum = x + residual;  y = sum / sqrt(mean(sum^2) + epsilon) * weight
 *
 * @param x - [... channels]
 * @param weight - [channels]; undefined for a norm without scale
 * @param options - see {@link NormOptions}
 * @returns y [... channels]; sum [... channels], which is `x` itself without a residual
 * @throws ShapeError if an axis disagrees
 * @see Zhang & Sennrich 2019, "Root mean square layer normalization", equation 4
 */
export function rmsNorm(x: Tensor, weight?: Tensor, options: NormOptions = {}): { y: Tensor; sum: Tensor } {
  const { epsilon = 1e-5, residual } = options;
  const { y, sum } = apply(residual ? addRmsNormOp : rmsNormOp, { x, weight, residual }, { epsilon });
  return { y: y!, sum: sum ?? x };
}
