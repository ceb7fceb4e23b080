import { ConfigError, ShapeError } from "../../tensor/errors.ts";
import { apply, defineOp, type Op } from "../op.ts";

/** Numbers of the spectrum of a real sequence: those at the other frequencies are their conjugates. */
const nodesOf = (length: number): number => Math.floor(length / 2) + 1;

/** The spectrum of real sequences over the first axis. Parameter: `adjoint`, of the inverse instead, which is its gradient. */
export const realFourierOp: Op = defineOp({
  name: "realFourier",
  signature: "x[length channels] -> spectrum[nodes channels 2]",
  axes: (_, { length }) => {
    if (length! < 1) throw new ShapeError("realFourier: x must have a time step; got none; pass one or more", {});
    return { nodes: nodesOf(length!) };
  },
  gradient: ({ gradients, params, shapes }) => {
    const given = { length: shapes["x"]![0]!, adjoint: !params["adjoint"] };
    return { x: apply(inverseRealFourierOp, { spectrum: gradients["spectrum"] }, given)["x"] };
  },
  accumulate: "float32",
});

/** Real sequences from their spectrum. Parameters: `length`; `adjoint`, of the transform instead, which is its gradient. */
export const inverseRealFourierOp: Op = defineOp({
  name: "inverseRealFourier",
  signature: "spectrum[nodes channels 2] -> x[length channels]",
  axes: ({ length }, { nodes }) => {
    if (!Number.isInteger(length) || (length as number) < 1 || nodesOf(length as number) !== nodes) {
      throw new ConfigError(
        `inverseRealFourier: length must be ${2 * nodes! - 2} or ${2 * nodes! - 1} for ${nodes} nodes; got ${length}; pass that of the sequence`,
        { length, nodes },
      );
    }
    return { length: length as number };
  },
  gradient: ({ gradients, params }) => ({
    spectrum: apply(realFourierOp, { x: gradients["x"] }, { adjoint: !params["adjoint"] })["spectrum"],
  }),
  accumulate: "float32",
});
