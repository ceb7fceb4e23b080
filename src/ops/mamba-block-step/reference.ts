import { type Composed, composed } from "../op.ts";
import { composeMambaBlockStep } from "./compose.ts";

/** Reference kernels of this folder. */
export const mambaBlockStepReference = { mambaBlockStep: composed(composeMambaBlockStep) } as const satisfies Record<
  string,
  Composed
>;
