import type { Tensor } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { ownState } from "../state-update/own-state.ts";
import { causalConvOp, convUpdateOp } from "./operations.ts";

/** What follows the convolution. */
export type ConvActivation = "silu" | "none";

/** Options of {@link causalConv}. */
export interface CausalConvOptions {
  /** [channels] */
  bias?: Tensor;
  /** Default none. */
  activation?: ConvActivation;
  /** [batch window-1 channels], the samples before the sequence, newest last; default zero. */
  initialState?: Tensor;
  /**
   * int32 [batch length], not decreasing: sequences packed into a row. A new segment does not see the one before it; only
   * the first sees `initialState`. -1 is padding: its output is 0 and no sample enters the state.
   */
  segmentIds?: Tensor;
  /** Run over time from the end. */
  reverse?: boolean;
}

/**
 * Causal depthwise convolution along time, with its activation.
 *
 *     s[t, c] = bias[c] + sum over k of weight[c, k] x[t - (window - 1) + k, c];  y = SiLU(s) or s
 *
 * @param x - [batch length channels]
 * @param weight - [channels window], the newest sample's weight last
 * @param options - see {@link CausalConvOptions}
 * @returns y [batch length channels]; finalState [batch window-1 channels], the last samples of the last segment,
 *   reaching back into `initialState` where the sequence is shorter
 * @throws ShapeError if an axis disagrees
 * @see Gu & Dao 2023, figure 3; the convolution of the official `causal_conv1d_fn`
 */
export function causalConv(
  x: Tensor,
  weight: Tensor,
  options: CausalConvOptions = {},
): { y: Tensor; finalState: Tensor } {
  const { bias, activation = "none", initialState, segmentIds, reverse = false } = options;
  const { y, finalState } = apply(
    causalConvOp,
    {
      x,
      weight: dense(weight),
      bias: bias && dense(bias),
      initialState: initialState && dense(initialState),
      segmentIds: segmentIds && dense(segmentIds),
    },
    { activation, reverse },
  );
  return { y: y!, finalState: finalState! };
}

/** Options of {@link convUpdate}. */
export interface ConvUpdateOptions {
  /** [channels] */
  bias?: Tensor;
  /** Default none. */
  activation?: ConvActivation;
  /** Change `state` itself instead of a copy; default false. */
  inPlace?: boolean;
}

/**
 * One step of {@link causalConv}. Not differentiable.
 *
 * @param x - [batch channels]
 * @param weight - [channels window]
 * @param state - [batch window-1 channels], newest last
 * @returns y [batch channels] and the state after it; with `inPlace` a second handle on the memory of `state`, so that
 *   either may be disposed
 * @throws ShapeError if an axis disagrees, or a state to be changed in place is not dense
 */
export function convUpdate(
  x: Tensor,
  weight: Tensor,
  state: Tensor,
  options: ConvUpdateOptions = {},
): { y: Tensor; state: Tensor } {
  const { bias, activation = "none", inPlace = false } = options;
  const next = ownState("convUpdate", "state", state, inPlace);
  const inputs = { x, weight: dense(weight), bias: bias && dense(bias), state: next };
  return { y: apply(convUpdateOp, inputs, { activation })["y"]!, state: next };
}
