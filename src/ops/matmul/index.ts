import type { Tensor } from "../../tensor/tensor.ts";
import { multiply } from "./operations.ts";

/** Which sides {@link matmul} reads transposed. */
export interface MatmulOptions {
  /** `a` is [... inner rows]; default false. */
  transposeA?: boolean;
  /** `b` is [... columns inner]; default false. */
  transposeB?: boolean;
}

/**
 * Product of matrices.
 *
 *     y[..., r, c] = sum over k of a[..., r, k] b[..., k, c]
 *
 * Leading axes must be the same on both sides; a side without any is used for every batch.
 *
 * @param a - [... rows inner], or [... inner rows] with `transposeA`
 * @param b - [... inner columns], or [... columns inner] with `transposeB`
 * @param options - see {@link MatmulOptions}
 * @returns [... rows columns]
 * @throws ShapeError if a side has fewer than two axes, or `inner` or the leading axes differ
 * @throws DtypeError if the sides have different types
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  return multiply(a, b, options.transposeA ?? false, options.transposeB ?? false);
}
