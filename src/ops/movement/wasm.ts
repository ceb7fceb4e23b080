import { mergeRows, type Range, rowWords, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import { denseStrides, type Shape, sizeOf } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Where elements lie: byte address of the first, and element strides. */
export interface Place {
  readonly address: number;
  readonly strides: readonly number[];
}

/** Copies the elements of a shape from one place to another. */
export function copyElements(
  context: WasmKernelContext,
  { shape, width }: { shape: Shape; width: number },
  to: Place,
  from: Place,
): void {
  if (sizeOf(shape) === 0) return;
  const rows = mergeRows(shape, [to.strides, from.strides]);
  const [toStride, fromStride] = rows.inner as [number, number];
  const words = [
    ...[rows.columns, rows.rows, rows.sizes.length, to.address, from.address],
    ...[toStride * width, fromStride * width, width],
    ...rowWords(rows, width),
  ];
  const span = ({ address, strides }: Place): Range => {
    const last = shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 0);
    return [address, (last + 1) * width];
  };
  context.command("copyRows", words, { reads: [span(from)], writes: [span(to)] });
}

/** Where a tensor's elements lie. */
export function placeOf(context: WasmKernelContext, x: Tensor): Place {
  return { address: context.address(x), strides: x.strides };
}

function copyInto(context: WasmKernelContext, x: Tensor, to: Place): void {
  copyElements(context, { shape: x.shape, width: bytesPerElement(x.dtype) }, to, placeOf(context, x));
}

/** Where a part lies in a dense tensor that starts at `whole`, `start` elements along `axis`. */
function partPlace(context: WasmKernelContext, whole: Tensor, shape: Shape, axis: number, start: number): Place {
  const strides = denseStrides(shape);
  return { address: context.address(whole) + start * strides[axis]! * bytesPerElement(whole.dtype), strides };
}

const copy: WasmKernel = (context, { inputs, outputs }) => {
  copyInto(context, inputs["x"]!, placeOf(context, outputs["y"]!));
};

const placeSlice: WasmKernel = (context, { inputs, outputs, params }) => {
  const dx = outputs["dx"]!;
  if (dx.size === 0) return;
  const range = context.range(dx);
  context.command("clearBytes", range, { reads: [], writes: [range] });
  const { axis, start } = params as { axis: number; start: number };
  copyInto(context, inputs["dy"]!, partPlace(context, dx, dx.shape, axis, start));
};

const concat: WasmKernel = (context, { inputs, outputs, params }) => {
  const y = outputs["y"]!;
  const axis = params["axis"] as number;
  let start = 0;
  for (const part of Object.values(inputs) as Tensor[]) {
    copyInto(context, part, partPlace(context, y, y.shape, axis, start));
    start += part.shape[axis]!;
  }
};

/** Wasm kernels of this folder. */
export const movementWasm = { copy, placeSlice, concat } as const satisfies Record<string, WasmKernel>;
