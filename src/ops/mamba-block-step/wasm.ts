import { type Composed, composed } from "../op.ts";
import { composeMambaBlockStep } from "./compose.ts";

/** Wasm kernels of this folder. */
export const mambaBlockStepWasm = { mambaBlockStep: composed(composeMambaBlockStep) } as const satisfies Record<
  string,
  Composed
>;
