import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { addressOr0, rangesOf } from "../rms-norm/wasm.ts";

const FLOAT_BYTES = 4;

/** Words that both kernels start with: sizes, ignored target, logits with their row stride, targets. */
function headWords(context: WasmKernelContext, { inputs, axes, params }: KernelCall): number[] {
  const { logits, targets } = inputs;
  return [
    ...[axes["tokens"]!, axes["vocabulary"]!, params["ignoreIndex"] as number],
    ...[context.address(logits!), logits!.strides[0]! * FLOAT_BYTES, context.address(targets!)],
  ];
}

const crossEntropy: WasmKernel = (context, call) => {
  const { losses, valid, logSumExp } = call.outputs;
  if (losses!.size === 0) return;
  const made = [losses!, valid!, logSumExp!];
  const words = [...headWords(context, call), ...made.map((tensor) => context.address(tensor))];
  context.command("crossEntropy", words, {
    reads: rangesOf(context, [call.inputs["logits"], call.inputs["targets"]]),
    writes: rangesOf(context, made),
  });
};

const crossEntropyBackward: WasmKernel = (context, call) => {
  const { logits, targets, logSumExp, dlosses, dlogSumExp } = call.inputs;
  const dlogits = call.outputs["dlogits"]!;
  if (dlogits.size === 0) return;
  const words = [
    ...headWords(context, call),
    ...[context.address(logSumExp!), addressOr0(context, dlosses), addressOr0(context, dlogSumExp)],
    context.address(dlogits),
  ];
  const reads: Range[] = rangesOf(context, [logits, targets, logSumExp, dlosses, dlogSumExp]);
  context.command("crossEntropyBackward", words, { reads, writes: [context.range(dlogits)] });
};

/** Wasm kernels of this folder. */
export const crossEntropyWasm = { crossEntropy, crossEntropyBackward } as const satisfies Record<string, WasmKernel>;
