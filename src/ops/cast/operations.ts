import type { DType } from "../../tensor/dtype.ts";
import { apply, defineOp, type Op } from "../op.ts";

/** Types that `cast` reads and writes; block formats of weights are not among them. */
export const castTypes = ["float64", "float32", "float16", "bfloat16", "int32", "uint32", "uint8"] as const;

/** Types that `cast` reads and writes. */
export type CastType = (typeof castTypes)[number];

/** The same values in another type. Params: `dtype`, the type to make, and `from`, that of x. */
export const castOp: Op = defineOp({
  name: "cast",
  signature: "x[...] -> y[...]",
  dtypes: { x: castTypes },
  outputDtype: (_, __, { dtype }) => dtype as DType,
  gradient: ({ gradients, params: { dtype, from } }) => ({
    x: apply(castOp, { x: gradients["y"] }, { dtype: from, from: dtype })["y"],
  }),
  accumulate: "float32",
});

/** Sets `found` to 1 if an element of x is infinite or NaN, and leaves it as it is otherwise. */
export const markNonFiniteOp: Op = defineOp({
  name: "markNonFinite",
  signature: "x[...], found[1] -> ",
  dtypes: { x: ["float64", "float32", "float16", "bfloat16"], found: ["int32"] },
  mutates: ["found"],
  accumulate: "float32",
});
