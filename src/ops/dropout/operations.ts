import { apply, defineOp, type Op } from "../op.ts";

/**
 * Zeroes elements at random, the same ones all along the middle axis. Element [o, m, i] is kept, times `scale`, if
 * `word >>> 8` is at least `threshold` for word o inner + i of the stream (see `fillUniform`).
 */
export const dropoutOp: Op = defineOp({
  name: "dropout",
  signature: "x[outer middle inner] -> y[outer middle inner]",
  // linear in x, and the mask follows from the parameters: it is made again and never saved
  gradient: ({ gradients, params }) => ({ x: apply(dropoutOp, { x: gradients["y"] }, params)["y"] }),
  accumulate: "float32",
});
