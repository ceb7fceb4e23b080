import { defineOp, type Op } from "../op.ts";

/**
 * One step of AdamW on one parameter, in place. Parameters: `learningRate`, `beta1`, `beta2`, `epsilon`, `weightDecay`,
 * `step` counted from 1. `scale`, one number on the device, multiplies the gradient: clipping and loss scaling need no
 * read-back. `skip`, where it is not 0, leaves everything as it is.
 */
export const adamwUpdateOp: Op = defineOp({
  name: "adamwUpdate",
  signature: "parameter[...], gradient[...], mean[...], square[...], scale?[1], skip?[1] -> ",
  dtypes: { skip: ["int32"] },
  mutates: ["parameter", "mean", "square"],
  accumulate: "float32",
});

/** One step of gradient descent with momentum, in place. Parameters: `learningRate`, `momentum`, `weightDecay`. */
export const sgdUpdateOp: Op = defineOp({
  name: "sgdUpdate",
  signature: "parameter[...], gradient[...], velocity?[...], scale?[1], skip?[1] -> ",
  dtypes: { skip: ["int32"] },
  mutates: ["parameter"],
  accumulate: "float32",
});

/** average = decay average + (1 - decay) x, in place. Parameter: `decay`. */
export const averageUpdateOp: Op = defineOp({
  name: "averageUpdate",
  signature: "average[...], x[...] -> ",
  mutates: ["average"],
  accumulate: "float32",
});

/** Adds the sum of x^2 to `total`, in place. */
export const addSquaredNormOp: Op = defineOp({
  name: "addSquaredNorm",
  signature: "x[...], total[1] -> ",
  mutates: ["total"],
  accumulate: "float32",
});
