import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";

/** Causal depthwise convolution with its activation. Parameters: `activation` ("silu" or "none"), `reverse`. */
export const causalConvOp: Op = defineOp({
  name: "causalConv",
  signature:
    "x[batch length channels], weight[channels window], bias?[channels], initialState?[batch window-1 channels], segmentIds?[batch length] -> y[batch length channels], finalState[batch window-1 channels]",
  dtypes: { segmentIds: ["int32"] },
  saved: ["x", "weight", "bias", "initialState", "segmentIds"],
  gradient: causalConvGradient,
  accumulate: "float32",
});

/** All gradients of {@link causalConvOp}; the values before the activation are computed again. */
export const causalConvBackwardOp: Op = defineOp({
  name: "causalConvBackward",
  signature:
    "x[batch length channels], weight[channels window], bias?[channels], initialState?[batch window-1 channels], segmentIds?[batch length], dy?[batch length channels], dFinalState?[batch window-1 channels] -> dx[batch length channels], dWeight[channels window], dBias?[channels], dInitialState?[batch window-1 channels]",
  dtypes: { segmentIds: ["int32"] },
  produces: (output, { bias, initialState }) => (output === "dBias" ? bias : initialState) !== undefined,
  accumulate: "float32",
});

/** One step of the convolution on a state that is changed in place: the oldest sample leaves, `x` enters. */
export const convUpdateOp: Op = defineOp({
  name: "convUpdate",
  signature:
    "x[batch channels], weight[channels window], bias?[channels], state[batch window-1 channels] -> y[batch channels]",
  mutates: ["state"],
  accumulate: "float32",
});

function causalConvGradient({ saved, gradients, params }: GradientCall): Tensors {
  const { x, weight, bias, initialState, segmentIds } = saved;
  const found = apply(
    causalConvBackwardOp,
    { x, weight, bias, initialState, segmentIds, dy: gradients["y"], dFinalState: gradients["finalState"] },
    params,
  );
  return { x: found["dx"], weight: found["dWeight"], bias: found["dBias"], initialState: found["dInitialState"] };
}
