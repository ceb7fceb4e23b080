import { apply, defineOp, type Op } from "../op.ts";

/** exp(x) over its sum along the last axis. */
export const softmaxOp: Op = defineOp({
  name: "softmax",
  signature: "x[... classes] -> y[... classes]",
  saved: ["y"],
  gradient: ({ saved, gradients }) => ({
    x: apply(softmaxBackwardOp, { y: saved["y"], dy: gradients["y"] })["dx"],
  }),
  accumulate: "float32",
});

/** dx = y (dy - sum of y dy). */
export const softmaxBackwardOp: Op = defineOp({
  name: "softmaxBackward",
  signature: "y[... classes], dy[... classes] -> dx[... classes]",
  accumulate: "float32",
});

/** x less the logarithm of the sum of exp(x) along the last axis. */
export const logSoftmaxOp: Op = defineOp({
  name: "logSoftmax",
  signature: "x[... classes] -> y[... classes]",
  saved: ["y"],
  gradient: ({ saved, gradients }) => ({
    x: apply(logSoftmaxBackwardOp, { y: saved["y"], dy: gradients["y"] })["dx"],
  }),
  accumulate: "float32",
});

/** dx = dy - exp(y) sum of dy. */
export const logSoftmaxBackwardOp: Op = defineOp({
  name: "logSoftmaxBackward",
  signature: "y[... classes], dy[... classes] -> dx[... classes]",
  accumulate: "float32",
});
