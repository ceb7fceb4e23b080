import { bytesPerElement } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { WebgpuKernelContext } from "./kernel.ts";

/**
 * Dense tensors of one size in parts that bindings may have: one part, the tensors themselves, unless one of them is too large.
 *
 * @returns the same elements of all tensors, part by part
 */
export function denseParts(context: WebgpuKernelContext, tensors: readonly Tensor[]): readonly (readonly Tensor[])[] {
  if (!context.hasLarge) return [tensors];
  const { maxStorageBufferBindingSize, minStorageBufferOffsetAlignment } = context.limits;
  const { size } = tensors[0]!;
  const part = (first: number, count: number): (Tensor | undefined)[] =>
    tensors.map((one) => context.window(one, { shape: [count], strides: [1], offset: one.offset + first }));
  const isThere = (one: Tensor | undefined): one is Tensor => one !== undefined;
  const whole = part(0, size);
  if (whole.every(isThere)) return [whole];
  const width = Math.max(...tensors.map(({ dtype }) => bytesPerElement(dtype)));
  const alignment = minStorageBufferOffsetAlignment;
  // a part may begin and end within what a window is rounded to
  const most = Math.max(1, Math.floor((maxStorageBufferBindingSize - 2 * alignment) / alignment)) * alignment;
  const parts: Tensor[][] = [];
  for (let first = 0; first < size; first += most / width) {
    parts.push(part(first, Math.min(most / width, size - first)).filter(isThere));
  }
  return parts;
}
