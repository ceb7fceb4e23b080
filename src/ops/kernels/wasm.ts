import type { WasmKernel } from "../../backends/wasm/index.ts";
import { elementwiseWasm } from "../elementwise/wasm.ts";
import type { Composed } from "../op.ts";
import type { OpName } from "../operations.ts";

/** Every op on the wasm backend. */
export const wasmKernels = {
  ...elementwiseWasm,
} as const satisfies Partial<Record<OpName, WasmKernel | Composed>>;
