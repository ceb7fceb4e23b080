import type { Tensor } from "../../tensor/tensor.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";

/** Layer norm of the last axis; with a residual, of x + residual, which is returned too. */
export const layerNormOp: Op = defineOp({
  name: "layerNorm",
  signature:
    "x[... channels], weight?[channels], bias?[channels], residual?[... channels] -> y[... channels], sum?[... channels]",
  produces: (_, { residual }) => residual !== undefined,
  saved: ["x", "weight"],
  gradient: (call) => layerNormGradient(call, call.saved["x"]!),
  accumulate: "float32",
});

/** The same op where a residual is given: backward then needs the sum and not what it is made of. */
export const addLayerNormOp: Op = {
  ...layerNormOp,
  saved: ["sum", "weight"],
  gradient: (call) => layerNormGradient(call, call.saved["sum"]!),
};

/** Gradients of the normalised input, weight and bias; `dsum`, the gradient of the sum's other uses, is added. */
export const layerNormBackwardOp: Op = defineOp({
  name: "layerNormBackward",
  signature:
    "x[... channels], weight?[channels], dy[... channels], dsum?[... channels] -> dx[... channels], dweight?[channels], dbias?[channels]",
  produces: (output, { weight }, { bias }) => (output === "dbias" ? bias === true : weight !== undefined),
  accumulate: "float32",
});

function layerNormGradient({ saved, gradients, params, needs }: GradientCall, x: Tensor): Tensors {
  const { y: dy, sum: dsum } = gradients;
  if (!dy) return { x: dsum, residual: dsum };
  const { dx, dweight, dbias } = apply(
    layerNormBackwardOp,
    { x, weight: saved["weight"], dy, dsum },
    { ...params, bias: needs.has("bias") },
  );
  return { x: dx, residual: dx, weight: dweight, bias: dbias };
}
