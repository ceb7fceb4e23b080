import type { WasmKernel } from "../../backends/wasm/index.ts";
import { elementwiseWasm } from "../elementwise/wasm.ts";
import { layerNormWasm } from "../layer-norm/wasm.ts";
import { movementWasm } from "../movement/wasm.ts";
import type { Composed } from "../op.ts";
import type { OpName } from "../operations.ts";
import { reduceWasm } from "../reduce/wasm.ts";
import { rmsNormWasm } from "../rms-norm/wasm.ts";
import { selectiveScanWasm } from "../selective-scan/wasm.ts";

/** Every op on the wasm backend. */
export const wasmKernels = {
  ...elementwiseWasm,
  ...movementWasm,
  ...reduceWasm,
  ...rmsNormWasm,
  ...layerNormWasm,
  ...selectiveScanWasm,
} as const satisfies Partial<Record<OpName, WasmKernel | Composed>>;
