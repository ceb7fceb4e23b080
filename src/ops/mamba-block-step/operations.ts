import { ShapeError } from "../../tensor/errors.ts";
import { defineOp, type Op } from "../op.ts";

/**
 * One token through one residual Mamba block; changes both states in place. Parameters: `epsilon` of the norm,
 * `mixerNormEpsilon` of FalconMamba's norms on delta, B and C, 0 without.
 */
export const mambaBlockStepOp: Op = defineOp({
  name: "mambaBlockStep",
  signature: [
    "x[batch dModel], conv[batch window-1 dInner], ssm[batch dInner dState], normWeight[dModel]",
    "inProj[twoInner dModel], inProjBias?[twoInner], convWeight[dInner window], convBias?[dInner]",
    "xProj[selection dInner], dtProj[dInner dtRank], dtBias[dInner], A[dInner dState], D[dInner]",
    "outProj[dModel dInner], outProjBias?[dModel] -> y[batch dModel]",
  ].join(", "),
  packed: ["inProj", "xProj", "dtProj", "outProj"],
  mutates: ["conv", "ssm"],
  axes: (_, { dInner, dState, dtRank, twoInner, selection }) => {
    assertRows("inProj", twoInner!, 2 * dInner!, "2 dInner");
    assertRows("xProj", selection!, dtRank! + 2 * dState!, "dtRank + 2 dState");
    return {};
  },
  accumulate: "float32",
});

function assertRows(argument: string, actual: number, expected: number, formula: string): void {
  if (actual === expected) return;
  throw new ShapeError(
    `mambaBlockStep: ${argument} must have ${formula} = ${expected} rows; got ${actual}; pass the weights and states of one block`,
    { op: "mambaBlockStep", argument, expected, actual },
  );
}
