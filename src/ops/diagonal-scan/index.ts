import type { Tensor } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { diagonalScanOp } from "./operations.ts";

/** Options of {@link diagonalScan}. */
export interface DiagonalScanOptions {
  /** How the system is held between samples; default `zoh`. */
  readonly discretization?: "zoh" | "bilinear";
  /** Whether each state stands for itself and its complex conjugate; default true. */
  readonly conjugate?: boolean;
  /** [batch channels state 2]; default zero. */
  readonly initialState?: Tensor | undefined;
}

/**
 * A diagonal state space with a step size for each step, such as of samples taken at irregular times. With z[t, n] = delta[t] A[n]:
 *
 *     h[t, n] = h[t-1, n] + g(z[t, n]) (h[t-1, n] + gain[n] u[t])
 *     y[t] = Re sum over n of C[n] h[t, n],   twice that with `conjugate`
 *
 * where g(z) = exp(z) - 1 (zero-order hold) or z / (1 - z / 2) (bilinear). With gain = B / A these are A-bar = 1 + g and
 * B-bar = g B / A of dh/dt = A h + B u. Nothing of size length x channels x state is ever in memory: backward computes the states again
 * from one saved state per 32 steps. Angles delta Im A are rounded to float32: a step of many turns is 6e-8 of them off.
 *
 * @param u - [batch length channels]
 * @param delta - [batch length channels], 0 or more; a step of 0 leaves the state as it is
 * @param A - [channels state 2], complex numbers as (real, imaginary), real parts at most 0 for a stable system
 * @param gain - [channels state 2], B / A
 * @param C - [channels state 2]
 * @returns y [batch length channels] and finalState [batch channels state 2]
 * @throws ShapeError if shapes disagree
 * @see Gu, Gupta, Goel & Ré 2022 (S4D), section 3; Smith, Warrington & Linderman 2022 (S5), section 3.3
 */
export function diagonalScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  gain: Tensor,
  C: Tensor,
  options: DiagonalScanOptions = {},
): { y: Tensor; finalState: Tensor } {
  const { discretization = "zoh", conjugate = true, initialState } = options;
  const { y, finalState } = apply(
    diagonalScanOp,
    {
      ...{ u, delta, A: dense(A), gain: dense(gain), C: dense(C) },
      initialState: initialState && dense(initialState),
    },
    { bilinear: discretization === "bilinear", conjugate },
  );
  return { y: y!, finalState: finalState! };
}
