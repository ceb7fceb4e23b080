import type { Tensor } from "../../tensor/tensor.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";

/** Root-mean-square norm of the last axis; with a residual, of x + residual, which is returned too. */
export const rmsNormOp: Op = defineOp({
  name: "rmsNorm",
  signature: "x[... channels], weight?[channels], residual?[... channels] -> y[... channels], sum?[... channels]",
  produces: (_, { residual }) => residual !== undefined,
  saved: ["x", "weight"],
  gradient: (call) => rmsNormGradient(call, call.saved["x"]!),
  accumulate: "float32",
});

/** The same op where a residual is given: backward then needs the sum and not what it is made of. */
export const addRmsNormOp: Op = {
  ...rmsNormOp,
  saved: ["sum", "weight"],
  gradient: (call) => rmsNormGradient(call, call.saved["sum"]!),
};

/** Gradients of the normalised input and of the weight; `dsum`, the gradient of the sum's other uses, is added. */
export const rmsNormBackwardOp: Op = defineOp({
  name: "rmsNormBackward",
  signature:
    "x[... channels], weight?[channels], dy[... channels], dsum?[... channels] -> dx[... channels], dweight?[channels]",
  produces: (_, { weight }) => weight !== undefined,
  accumulate: "float32",
});

function rmsNormGradient({ saved, gradients, params }: GradientCall, x: Tensor): Tensors {
  const { y: dy, sum: dsum } = gradients;
  if (!dy) return { x: dsum, residual: dsum };
  const { dx, dweight } = apply(rmsNormBackwardOp, { x, weight: saved["weight"], dy, dsum }, params);
  return { x: dx, residual: dx, weight: dweight };
}
