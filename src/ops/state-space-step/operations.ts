import { ShapeError } from "../../tensor/errors.ts";
import { defineOp, type Op } from "../op.ts";

/** Rows of `system`: A and B; with low rank W, P and S after them. */
export const DIAGONAL_ROWS = 2;
export const LOW_RANK_ROWS = 5;

/** One step of a diagonal (plus rank one) state space over every feature; see {@link stateSpaceStep}. */
export const stateSpaceStepOp: Op = defineOp({
  name: "stateSpaceStep",
  signature:
    "u[batch features], state[batch features pairs complex], system[rows features pairs complex], C[outputs features pairs complex], D[outputs features] -> y[batch outputs features], next[batch features pairs complex]",
  axes: (_, { rows, complex }) => {
    if ((rows === DIAGONAL_ROWS || rows === LOW_RANK_ROWS) && complex === 2) return {};
    throw new ShapeError(
      `stateSpaceStep: system must have ${DIAGONAL_ROWS} or ${LOW_RANK_ROWS} rows of real and imaginary parts; got ${rows} rows of ${complex}; stack A, B and, with low rank, W, P, S`,
      { op: "stateSpaceStep", rows: rows!, complex: complex! },
    );
  },
  accumulate: "float32",
});
