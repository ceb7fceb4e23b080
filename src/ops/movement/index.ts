import { resolveAxis, type Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import {
  checkReshape,
  concatAll,
  copyOp,
  dense,
  permuteOp,
  reshapeOp,
  sameButOnes,
  sliceOp,
  splitOp,
  splitOutputName,
} from "./operations.ts";

/**
 * The same values densely in row-major order: `x` itself if it already is.
 *
 * @param x - any strided view
 */
export function contiguous(x: Tensor): Tensor {
  return dense(x);
}

/** A dense copy that shares no memory with `x`. */
export function copy(x: Tensor): Tensor {
  return apply(copyOp, { x })["y"]!;
}

/**
 * The same elements under another shape; a view if `x` is dense or only axes of size 1 come or go, else a copy.
 *
 * @param shape - sizes; one of them may be -1 and is worked out
 * @throws ShapeError if the number of elements differs
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
  const full = shape.map((size) => (size === -1 ? x.size / Math.max(known, 1) : size));
  checkReshape(x, full);
  return apply(reshapeOp, { x: sameButOnes(x.shape, full) ? x : dense(x) }, { shape: full })["y"]!;
}

/**
 * Axes in another order, densely copied.
 *
 * @param order - axis `i` of the result is axis `order[i]` of `x`; default: all reversed
 */
export function transpose(x: Tensor, order: readonly number[] = x.shape.map((_, i) => x.shape.length - 1 - i)): Tensor {
  const resolved = order.map((axis) => resolveAxis("transpose", axis, x.shape.length));
  return dense(apply(permuteOp, { x }, { order: resolved })["y"]!);
}

/**
 * Elements `start` to `end` (exclusive) along one axis, as a view.
 *
 * @param options.axis - default 0; negative counts from the last
 * @param options.start - default 0; negative counts from the end
 * @param options.end - default the axis' size; negative counts from the end
 */
export function slice(x: Tensor, options: { axis?: number; start?: number; end?: number }): Tensor {
  const axis = resolveAxis("slice", options.axis ?? 0, x.shape.length);
  const size = x.shape[axis]!;
  const clamp = (at: number): number => Math.min(size, Math.max(0, at < 0 ? at + size : at));
  const start = clamp(options.start ?? 0);
  const end = Math.max(start, clamp(options.end ?? size));
  return apply(sliceOp, { x }, { axis, start, end })["y"]!;
}

/**
 * Consecutive parts along one axis, as views; their gradients are joined in one copy.
 *
 * @param sizes - of the parts, in order; they must sum to the axis' size
 * @param axis - default the last
 */
export function split(x: Tensor, sizes: readonly number[], axis = -1): Tensor[] {
  const resolved = resolveAxis("split", axis, x.shape.length);
  checkReshape(
    x,
    x.shape.with(
      resolved,
      sizes.reduce((sum, size) => sum + size, 0),
    ),
  );
  const parts = apply(splitOp, { x }, { axis: resolved, sizes });
  return sizes.map((_, i) => parts[splitOutputName(i)]!);
}

/**
 * Tensors one after another along one axis.
 *
 * @param axis - default the last
 * @throws ShapeError if another axis differs
 */
export function concat(parts: readonly Tensor[], axis = -1): Tensor {
  return concatAll(parts, resolveAxis("concat", axis, parts[0]!.shape.length));
}
