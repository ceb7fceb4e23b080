import { ConfigError } from "../../tensor/errors.ts";
import { apply, defineOp, type Op } from "../op.ts";

const signature = "v[channels state 2], x[channels state 2]";

/** Sums of exponentials in time. Parameters: `length`; `conjugate`, whether every term stands for itself and its conjugate. */
export const vandermondeOp: Op = defineOp({
  name: "vandermonde",
  signature: `${signature} -> k[length channels]`,
  axes: ({ length }) => {
    if (!Number.isInteger(length) || (length as number) < 0) {
      throw new ConfigError(`vandermonde: length must be a whole number, 0 or more; got ${length}; pass another`, {
        length,
      });
    }
    return { length: length as number };
  },
  saved: ["v", "x"],
  gradient: ({ saved, gradients, params }) => {
    const { dv, dx } = apply(vandermondeBackwardOp, { v: saved["v"], x: saved["x"], dk: gradients["k"] }, params);
    return { v: dv, x: dx };
  },
  accumulate: "float32",
});

/** Gradients of v and x. */
export const vandermondeBackwardOp: Op = defineOp({
  name: "vandermondeBackward",
  signature: `${signature}, dk[length channels] -> dv[channels state 2], dx[channels state 2]`,
  accumulate: "float32",
});
