import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { elementwiseReference } from "../elementwise/reference.ts";
import { movementReference } from "../movement/reference.ts";
import type { Composed } from "../op.ts";
import type { OpName } from "../operations.ts";
import { reduceReference } from "../reduce/reference.ts";

/** Every op on the reference backend. */
export const referenceKernels = {
  ...elementwiseReference,
  ...movementReference,
  ...reduceReference,
} as const satisfies Record<OpName, ReferenceKernel | Composed>;
