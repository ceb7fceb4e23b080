import { type Composed, composed } from "../op.ts";
import { composeMambaBlockStep } from "./compose.ts";

/** WebGPU kernels of this folder. */
export const mambaBlockStepWebgpu = { mambaBlockStep: composed(composeMambaBlockStep) } as const satisfies Record<
  string,
  Composed
>;
