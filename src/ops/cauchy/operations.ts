import { ConfigError } from "../../tensor/errors.ts";
import { apply, defineOp, type Op } from "../op.ts";

/** Nodes of a real sequence's spectrum. */
const nodesOf = (length: number): number => Math.floor(length / 2) + 1;

function axes({ length }: Readonly<Record<string, unknown>>): Record<string, number> {
  if (!Number.isInteger(length) || (length as number) < 1) {
    throw new ConfigError(`cauchy: length must be a whole number above 0; got ${length}; pass another`, { length });
  }
  return { nodes: nodesOf(length as number) };
}

const signature = "v[products channels state 2], w[channels state 2]";

/** Cauchy sums at the nodes of a spectrum. Parameter: `length` of the sequence. */
export const cauchyOp: Op = defineOp({
  name: "cauchy",
  signature: `${signature} -> q[products nodes channels 2]`,
  axes,
  saved: ["v", "w"],
  gradient: ({ saved, gradients, params }) => {
    const { dv, dw } = apply(cauchyBackwardOp, { v: saved["v"], w: saved["w"], dq: gradients["q"] }, params);
    return { v: dv, w: dw };
  },
  accumulate: "float32",
});

/** Gradients of v and w. */
export const cauchyBackwardOp: Op = defineOp({
  name: "cauchyBackward",
  signature: `${signature}, dq[products nodes channels 2] -> dv[products channels state 2], dw[channels state 2]`,
  accumulate: "float32",
});
