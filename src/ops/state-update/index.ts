import type { Tensor } from "../../tensor/tensor.ts";
import { reshape } from "../movement/index.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { stateUpdateOp } from "./operations.ts";
import { ownState } from "./own-state.ts";

/** Options of {@link stateUpdate}. */
export interface StateUpdateOptions {
  /** [channels], y += D u. */
  D?: Tensor;
  /** [batch channels], y is multiplied by SiLU(z). */
  z?: Tensor;
  /** [channels], added to delta before the softplus. */
  deltaBias?: Tensor;
  /** Whether delta goes through softplus; default false. */
  deltaSoftplus?: boolean;
  /** Change `h` itself instead of a copy; default false. */
  inPlace?: boolean;
}

/**
 * One step of the selective scan. Not differentiable: use `selectiveScan` on one sample for gradients.
 *
 *     d = softplus(delta + deltaBias);  h = exp(d A) h + d B u;  y = (C . h + D u) SiLU(z)
 *
 * @param h - [batch channels state]
 * @param u - [batch channels]
 * @param delta - [batch channels]
 * @param A - [channels state]
 * @param B - [batch state] or [batch groups state]
 * @param C - like B
 * @param options - see {@link StateUpdateOptions}
 * @returns y [batch channels] and the state after it; with `inPlace` a second handle on the memory of `h`
 * @throws ShapeError if an axis disagrees, channels are not a multiple of groups, or a state to be changed in place is
 *   not dense
 * @see Gu & Dao 2023, section 3.3; the official `selective_state_update`
 */
export function stateUpdate(
  h: Tensor,
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: StateUpdateOptions = {},
): { y: Tensor; state: Tensor } {
  const { D, z, deltaBias, deltaSoftplus = false, inPlace = false } = options;
  const state = ownState("stateUpdate", "h", h, inPlace);
  const grouped = (x: Tensor): Tensor => (x.shape.length === 2 ? reshape(x, [x.shape[0]!, 1, x.shape[1]!]) : x);
  const inputs = { h: state, u, delta, A: dense(A), B: grouped(B), C: grouped(C) };
  const extra = { D: D && dense(D), z, deltaBias: deltaBias && dense(deltaBias) };
  return { y: apply(stateUpdateOp, { ...inputs, ...extra }, { deltaSoftplus })["y"]!, state };
}
