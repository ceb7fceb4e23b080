import {
  f32,
  leadingRows,
  type Range,
  rowWords,
  type WasmKernel,
  type WasmKernelContext,
} from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const FLOAT_BYTES = 4;
const MOST_CHUNKS = 256;
const SMALLEST_CHUNK = 32;

/** Rows whose weight gradients are added up by one thread. Depends on nothing else, so that sums are always the same. */
export function rowChunk(rows: number): number {
  return Math.max(SMALLEST_CHUNK, Math.ceil(rows / MOST_CHUNKS));
}

/** Address of a tensor that may be left out; 0 then. */
export function addressOr0(context: WasmKernelContext, tensor: Tensor | undefined): number {
  return tensor ? context.address(tensor) : 0;
}

/** Byte ranges of those tensors that are there. */
export function rangesOf(context: WasmKernelContext, tensors: readonly (Tensor | undefined)[]): Range[] {
  return tensors.filter((tensor) => tensor !== undefined).map((tensor) => context.range(tensor));
}

/** Strides of operands with the shape of the first; those of the first stand in for one that is left out. */
export function stridesOf(operands: readonly (Tensor | undefined)[]): (readonly number[])[] {
  return operands.map((operand) => (operand ?? operands[0]!).strides);
}

/**
 * Adds up one row of partial sums per chunk, `sums` [chunks channels], into `total`.
 */
export function addChunks(context: WasmKernelContext, chunks: number, sums: Range, total: Tensor): void {
  context.command("reduceSumPartials", [1, chunks, total.size, sums[0], context.address(total)], {
    reads: [sums],
    writes: [context.range(total)],
  });
}

const rmsNorm: WasmKernel = (context, { inputs, outputs, params }) => {
  const x = inputs["x"]!;
  const { weight, residual } = inputs;
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const rows = leadingRows(x.shape, stridesOf([x, residual]));
  const words = [
    ...[rows.rows, rows.columns, rows.sizes.length, f32(params["epsilon"] as number)],
    ...[addressOr0(context, weight), context.address(y), addressOr0(context, outputs["sum"])],
    ...[context.address(x), addressOr0(context, residual)],
    ...rowWords(rows, FLOAT_BYTES),
  ];
  context.command("rmsNorm", words, {
    reads: rangesOf(context, [x, weight, residual]),
    writes: rangesOf(context, [y, outputs["sum"]]),
  });
};

const rmsNormBackward: WasmKernel = (context, { inputs, outputs, params }) => {
  const x = inputs["x"]!;
  const { weight, dy, dsum } = inputs;
  const { dx, dweight } = outputs;
  const rows = leadingRows(x.shape, stridesOf([x, dy, dsum]));
  const chunk = rowChunk(rows.rows);
  const chunks = Math.ceil(rows.rows / chunk);
  const bytes = chunks * rows.columns * FLOAT_BYTES;
  const sums: Range = [dweight ? context.scratch(bytes) : 0, dweight ? bytes : 0];
  const words = [
    ...[rows.rows, rows.columns, rows.sizes.length, chunk, f32(params["epsilon"] as number)],
    ...[addressOr0(context, weight), context.address(dx!), sums[0]],
    ...[context.address(x), context.address(dy!), addressOr0(context, dsum)],
    ...rowWords(rows, FLOAT_BYTES),
  ];
  context.command("rmsNormBackward", words, {
    reads: rangesOf(context, [x, weight, dy, dsum]),
    writes: [context.range(dx!), sums],
  });
  if (dweight) addChunks(context, chunks, sums, dweight);
};

/** Wasm kernels of this folder. */
export const rmsNormWasm = { rmsNorm, rmsNormBackward } as const satisfies Record<string, WasmKernel>;
