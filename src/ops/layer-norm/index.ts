import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import type { NormOptions } from "../rms-norm/index.ts";
import { addLayerNormOp, layerNormOp } from "./operations.ts";

/**
 * Layer norm over the last axis, with the addition to a residual stream fused in.
 *
 *     sum = x + residual;  y = (sum - mean(sum)) / sqrt(variance(sum) + epsilon) * weight + bias
 *
 * The variance is the mean square of the differences, without Bessel's correction.
 *
 * @param x - [... channels]
 * @param weight - [channels]; undefined for a norm without scale
 * @param bias - [channels]; undefined for a norm without shift
 * @param options - see {@link NormOptions}
 * @returns y [... channels]; sum [... channels], which is `x` itself without a residual
 * @throws ShapeError if an axis disagrees
 * @see Ba, Kiros & Hinton 2016, "Layer normalization"
 */
export function layerNorm(
  x: Tensor,
  weight?: Tensor,
  bias?: Tensor,
  options: NormOptions = {},
): { y: Tensor; sum: Tensor } {
  const { epsilon = 1e-5, residual } = options;
  const { y, sum } = apply(residual ? addLayerNormOp : layerNormOp, { x, weight, bias, residual }, { epsilon });
  return { y: y!, sum: sum ?? x };
}
