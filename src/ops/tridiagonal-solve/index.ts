import type { Tensor } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { tridiagonalSolveOp } from "./operations.ts";

/** The diagonals of matrices T, [systems state] each. */
export interface Diagonals {
  /** T[i, i - 1] at i; the first element is not used. */
  readonly lower: Tensor;
  /** T[i, i] */
  readonly diagonal: Tensor;
  /** T[i, i + 1] at i; the last element is not used. */
  readonly upper: Tensor;
}

/**
 * Solves T y = x for matrices with three diagonals, in a number of steps that is linear in their size (Thomas's algorithm).
 *
 * Rows are not exchanged: leading minors must not vanish, as for matrices with a heavy diagonal. A pivot of zero gives infinities.
 *
 * @param x - [systems state columns]
 * @returns y [systems state columns]
 * @throws ShapeError if shapes disagree
 */
export function tridiagonalSolve({ lower, diagonal, upper }: Diagonals, x: Tensor): Tensor {
  const inputs = { lower: dense(lower), diagonal: dense(diagonal), upper: dense(upper), x: dense(x) };
  return apply(tridiagonalSolveOp, inputs)["y"]!;
}
