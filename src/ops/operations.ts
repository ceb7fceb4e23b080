import { binaryOperations, unaryBackwardOperations, unaryOperations } from "./elementwise/operations.ts";
import { concatOp, copyOp, placeSliceOp } from "./movement/operations.ts";
import type { Op } from "./op.ts";
import { reduceMaxBackwardOp, reduceMaxOp, reduceSumOp } from "./reduce/operations.ts";

/** Every op that needs a kernel, by name. Views (reshape, slice, ...) run without one. */
export const operations = {
  ...unaryOperations,
  ...unaryBackwardOperations,
  ...binaryOperations,
  copy: copyOp,
  placeSlice: placeSliceOp,
  concat: concatOp,
  reduceSum: reduceSumOp,
  reduceMax: reduceMaxOp,
  reduceMaxBackward: reduceMaxBackwardOp,
} as const satisfies Record<string, Op>;

/** Names of the ops that every backend has a kernel or a composition for. */
export type OpName = keyof typeof operations;
