import { f32, type Range, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { CHUNK } from "./chunk.ts";

const FLOAT_BYTES = 4;
const ABSENT = 0;
/** A complex number in each of four lanes. */
const PAIR_BYTES = 32;

/** Address, and strides of sequences and steps in bytes. */
function rows(context: WasmKernelContext, x: Tensor): number[] {
  return [context.address(x), x.strides[0]! * FLOAT_BYTES, x.strides[1]! * FLOAT_BYTES];
}

function encode(
  context: WasmKernelContext,
  kernel: string,
  call: KernelCall,
  own: readonly number[],
  pairs: number,
): void {
  const { inputs, outputs, axes, params } = call;
  const states = axes["state"]!;
  const chunkStates = inputs["chunkStates"] ?? outputs["chunkStates"];
  const bytes = pairs * PAIR_BYTES * context.threads;
  const scratch: Range = [context.scratch(bytes), bytes];
  const words = [
    ...[axes["batch"]!, axes["length"]!, axes["channels"]!, states, params["bilinear"] ? 1 : 0],
    ...[f32(params["conjugate"] ? 2 : 1), scratch[0], pairs * PAIR_BYTES],
    ...rows(context, inputs["u"]!),
    ...rows(context, inputs["delta"]!),
    ...["A", "gain", "C"].map((name) => context.address(inputs[name]!)),
    chunkStates ? context.address(chunkStates) : ABSENT,
    ...own,
  ];
  const ranges = (tensors: KernelCall["inputs"]): Range[] =>
    Object.values(tensors).flatMap((tensor) => (tensor ? [context.range(tensor)] : []));
  context.command(kernel, words, { reads: ranges(inputs), writes: [...ranges(outputs), scratch] });
}

const diagonalScan: WasmKernel = (context, call) => {
  const { initialState } = call.inputs;
  const { y, finalState } = call.outputs;
  if (finalState!.size === 0) return;
  const own = [
    initialState ? context.address(initialState) : ABSENT,
    context.address(y!),
    context.address(finalState!),
  ];
  encode(context, "diagonalScanForward", call, own, 4 * call.axes["state"]! + 1);
};

const diagonalScanBackward: WasmKernel = (context, call) => {
  const { dy, dFinalState } = call.inputs;
  if (call.outputs["dA"]!.size === 0) return;
  const own = [
    ...rows(context, dy!),
    dFinalState ? context.address(dFinalState) : ABSENT,
    ...["du", "dDelta", "dA", "dGain", "dC", "dInitialState"].map((name) => context.address(call.outputs[name]!)),
  ];
  encode(context, "diagonalScanBackward", call, own, (8 + 2 * CHUNK) * call.axes["state"]!);
};

/** Wasm kernels of this folder. */
export const diagonalScanWasm = { diagonalScan, diagonalScanBackward } as const satisfies Record<string, WasmKernel>;
