import { resolveAxis, type Shape } from "../../tensor/shape.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { binary } from "../elementwise/operations.ts";
import { dense, reshapeOp } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { expandOp, reduceAxis, reduceMaxOp, reduceSumOp } from "./operations.ts";

/** Which axes a reduction takes away; default all. */
export interface ReduceOptions {
  axis?: number | readonly number[];
  /** Keep reduced axes with size 1. */
  keepDims?: boolean;
}

function reducedAxes(where: string, x: Tensor, { axis }: ReduceOptions): number[] {
  const given = axis === undefined ? x.shape.map((_, i) => i) : typeof axis === "number" ? [axis] : axis;
  return given.map((a) => resolveAxis(where, a, x.shape.length)).sort((a, b) => b - a);
}

function finish(out: Tensor, x: Tensor, axes: readonly number[], keepDims = false): Tensor {
  if (!keepDims) return out;
  const shape = x.shape.map((size, i) => (axes.includes(i) ? 1 : size));
  return apply(reshapeOp, { x: dense(out) }, { shape })["y"]!;
}

/** Sum over axes. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = reducedAxes("sum", x, options);
  const out = axes.reduce((partial, axis) => reduceAxis(reduceSumOp, partial, axis)["y"]!, x);
  return finish(out, x, axes, options.keepDims);
}

/** Mean over axes. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = reducedAxes("mean", x, options);
  const count = axes.reduce((product, axis) => product * x.shape[axis]!, 1);
  const total = sum(x, options);
  return binary("mul", total, tensor([1 / count], [1], { device: x.device, dtype: x.dtype }));
}

/** Largest element over axes; its gradient goes to the first of equals. */
export function max(x: Tensor, options: ReduceOptions = {}): Tensor {
  const axes = reducedAxes("max", x, options);
  const out = axes.reduce((partial, axis) => reduceAxis(reduceMaxOp, partial, axis)["y"]!, x);
  return finish(out, x, axes, options.keepDims);
}

/** Index of the largest element along one axis, int32; the first of equals. */
export function argmax(x: Tensor, axis = -1): Tensor {
  return reduceAxis(reduceMaxOp, x, resolveAxis("argmax", axis, x.shape.length))["at"]!;
}

/** Repeats `x` to `shape` as NumPy's broadcasting does, densely. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return dense(apply(expandOp, { x }, { shape })["y"]!);
}
