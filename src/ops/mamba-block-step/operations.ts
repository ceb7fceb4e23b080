import { defineOp, type Op } from "../op.ts";

/**
 * One token through one residual Mamba block; changes both states in place. Parameters: `epsilon` of the norm,
 * `mixerNormEpsilon` of FalconMamba's norms on delta, B and C, 0 without.
 */
export const mambaBlockStepOp: Op = defineOp({
  name: "mambaBlockStep",
  signature: [
    "x[batch dModel], conv[batch before dInner], ssm[batch dInner dState], normWeight[dModel]",
    "inProj[twoInner dModel], inProjBias?[twoInner], convWeight[dInner window], convBias?[dInner]",
    "xProj[selection dInner], dtProj[dInner dtRank], dtBias[dInner], A[dInner dState], D[dInner]",
    "outProj[dModel dInner], outProjBias?[dModel] -> y[batch dModel]",
  ].join(", "),
  packed: ["inProj", "xProj", "dtProj", "outProj"],
  mutates: ["conv", "ssm"],
  accumulate: "float32",
});
