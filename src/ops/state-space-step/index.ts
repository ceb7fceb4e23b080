import type { Tensor } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { stateSpaceStepOp } from "./operations.ts";

/** A state space of single steps: one half of each conjugate pair of states, real and imaginary parts in the last axis. */
export interface SteppedStateSpace {
  /** [2 features pairs 2]: A, then B; or [5 features pairs 2] with W, P and S after them. */
  readonly system: Tensor;
  /** [outputs features pairs 2] */
  readonly C: Tensor;
  /** [outputs features] */
  readonly D: Tensor;
}

/**
 * One step of a diagonal state space, or of one that is diagonal plus of rank one, over every feature. Not differentiable: use the
 * convolution or the scan for gradients.
 *
 *     x' = A x + B u,  or  x' = w - 2 S Re sum(conj(P) w) with w = W (A x + B u - 2 P Re sum(conj(P) x))
 *     y = 2 Re sum(C x') + D u
 *
 * Sums run over the pairs of a feature.
 *
 * @param u - [batch features]
 * @param state - x [batch features pairs 2]; it stays valid
 * @returns y [batch outputs features], and x' [batch features pairs 2]
 * @throws ShapeError if shapes disagree
 * @see Gu, Goel & Ré 2021 (S4), appendix C.2: the step of a low-rank system in a number of operations that is linear in its states
 */
export function stateSpaceStep(
  { system, C, D }: SteppedStateSpace,
  u: Tensor,
  state: Tensor,
): { y: Tensor; next: Tensor } {
  const inputs = { u: dense(u), state: dense(state), system: dense(system), C: dense(C), D: dense(D) };
  const { y, next } = apply(stateSpaceStepOp, inputs);
  return { y: y!, next: next! };
}
