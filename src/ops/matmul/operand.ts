import type { Range, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Matrices in wasm memory: element [r, c] of batch i at address + i batchStride + r rowStride + c columnStride, in bytes. */
export interface Operand {
  readonly address: number;
  readonly rowStride: number;
  readonly columnStride: number;
  readonly batchStride: number;
  /** Bytes that it lies within. */
  readonly range: Range;
}

/** A matrix and its transpose are the same bytes. */
export function transposed(operand: Operand): Operand {
  return { ...operand, rowStride: operand.columnStride, columnStride: operand.rowStride };
}

/** The part that begins at a row and a column. */
export function partOf(operand: Operand, row: number, column: number): Operand {
  const address = operand.address + row * operand.rowStride + column * operand.columnStride;
  return { ...operand, address };
}

/** Consecutive indices of leading axes that one stride reaches in every tensor. */
export interface Run {
  /** Elements before the run, by tensor. */
  readonly offsets: readonly number[];
  readonly count: number;
  /** In elements, by tensor. */
  readonly strides: readonly number[];
}

/**
 * Leading axes of one shape, seen through the strides of several tensors, as runs: one run where every tensor's axes
 * fold into one, else one for each index of the axes that do not.
 */
export function leadingRuns(shape: readonly number[], strides: readonly (readonly number[])[]): Run[] {
  const axes = shape.map((_, i) => i).filter((i) => shape[i] !== 1);
  const inner = axes.pop();
  if (inner === undefined) return [{ offsets: strides.map(() => 0), count: 1, strides: strides.map(() => 0) }];
  let count = shape[inner]!;
  const own = strides.map((of) => of[inner]!);
  while (axes.length > 0 && strides.every((of, i) => of[axes.at(-1)!] === own[i]! * count))
    count *= shape[axes.pop()!]!;
  let offsets = [strides.map(() => 0)];
  for (const axis of axes) {
    offsets = offsets.flatMap((before) =>
      Array.from({ length: shape[axis]! }, (_, index) => before.map((at, i) => at + index * strides[i]![axis]!)),
    );
  }
  return offsets.map((at) => ({ offsets: at, count, strides: own }));
}

/** A tensor [... features] as one matrix of rows, copied only where its leading axes do not fold into one. */
export function rowsOf(context: WasmKernelContext, x: Tensor): Operand {
  const features = x.shape.at(-1)!;
  const address = context.address(x);
  const range = context.range(x);
  const runs = leadingRuns(x.shape.slice(0, -1), [x.strides.slice(0, -1)]);
  const columnStride = 4;
  if (runs.length === 1) return { address, rowStride: runs[0]!.strides[0]! * 4, columnStride, batchStride: 0, range };
  const rowBytes = features * 4;
  const count = runs[0]!.count;
  const bytes = runs.length * count * rowBytes;
  const copy = context.scratch(bytes);
  runs.forEach(({ offsets, strides }, i) => {
    const to = copy + i * count * rowBytes;
    const words = [address + offsets[0]! * 4, strides[0]! * 4, 4, to, count, features, 1, 0, 0];
    context.command("gatherRows", words, { reads: [range], writes: [[to, count * rowBytes]] });
  });
  return { address: copy, rowStride: rowBytes, columnStride, batchStride: 0, range: [copy, bytes] };
}
