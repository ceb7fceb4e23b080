import { leadingRows, rowWords, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const FLOAT_BYTES = 4;

/** One command over rows of the last axis. */
function encodeRows(context: WasmKernelContext, kernel: string, operands: readonly Tensor[], out: Tensor): void {
  if (out.size === 0) return;
  const rows = leadingRows(
    out.shape,
    operands.map(({ strides }) => strides),
  );
  const words = [
    ...[rows.rows, rows.columns, rows.sizes.length, context.address(out)],
    ...operands.map((operand) => context.address(operand)),
    ...rowWords(rows, FLOAT_BYTES),
  ];
  context.command(kernel, words, {
    reads: operands.map((operand) => context.range(operand)),
    writes: [context.range(out)],
  });
}

const forward: WasmKernel = (context, { op, inputs, outputs }) =>
  encodeRows(context, op, [inputs["x"]!], outputs["y"]!);

const backward: WasmKernel = (context, { op, inputs, outputs }) =>
  encodeRows(context, op, [inputs["y"]!, inputs["dy"]!], outputs["dx"]!);

/** Wasm kernels of this folder. */
export const softmaxWasm = {
  softmax: forward,
  logSoftmax: forward,
  softmaxBackward: backward,
  logSoftmaxBackward: backward,
} as const satisfies Record<string, WasmKernel>;
