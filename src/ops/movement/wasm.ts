import { mergeRows, type Range, rowWords, type WasmKernel, type WasmKernelContext } from "../../backends/wasm/index.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import { denseStrides, type Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Elements of a target from `address` on. */
interface Place {
  readonly address: number;
  readonly strides: readonly number[];
}

function copyInto(context: WasmKernelContext, x: Tensor, { address, strides }: Place): void {
  if (x.size === 0) return;
  const width = bytesPerElement(x.dtype);
  const rows = mergeRows(x.shape, [strides, x.strides]);
  const [toStride, fromStride] = rows.inner as [number, number];
  const words = [
    ...[rows.columns, rows.rows, rows.sizes.length, address, context.address(x)],
    ...[toStride * width, fromStride * width, width],
    ...rowWords(rows, width),
  ];
  const last = x.shape.reduce((sum, size, i) => sum + (size - 1) * strides[i]!, 0);
  const written: Range = [address, (last + 1) * width];
  context.command("copyRows", words, { reads: [context.range(x)], writes: [written] });
}

/** Where a part lies in a dense tensor that starts at `whole`, `start` elements along `axis`. */
function partPlace(context: WasmKernelContext, whole: Tensor, shape: Shape, axis: number, start: number): Place {
  const strides = denseStrides(shape);
  return { address: context.address(whole) + start * strides[axis]! * bytesPerElement(whole.dtype), strides };
}

const copy: WasmKernel = (context, { inputs, outputs }) => {
  const y = outputs["y"]!;
  copyInto(context, inputs["x"]!, { address: context.address(y), strides: y.strides });
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
