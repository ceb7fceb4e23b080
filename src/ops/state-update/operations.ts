import { ShapeError } from "../../tensor/errors.ts";
import { defineOp, type Op } from "../op.ts";

/** One step of the selective scan on a state that is changed in place. Parameter: `deltaSoftplus`. */
export const stateUpdateOp: Op = defineOp({
  name: "stateUpdate",
  signature:
    "h[batch channels state], u[batch channels], delta[batch channels], A[channels state], B[batch groups state], C[batch groups state], D?[channels], z?[batch channels], deltaBias?[channels] -> y[batch channels]",
  mutates: ["h"],
  axes: (_, { channels, groups }) => {
    if (channels! % groups! === 0) return {};
    throw new ShapeError(
      `stateUpdate: channels must be a multiple of the groups of B and C; got ${channels} channels and ${groups} groups; reshape B and C`,
      { op: "stateUpdate", channels: channels!, groups: groups! },
    );
  },
  accumulate: "float32",
});
