import { broadcastStrides, type Shape, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { dense, reshapeOp } from "../movement/operations.ts";
import { apply, defineOp, type Op } from "../op.ts";

const REDUCTION = "x[outer middle inner] -> y[outer inner]";

/** Sum over the middle axis. */
export const reduceSumOp: Op = defineOp({
  name: "reduceSum",
  signature: REDUCTION,
  gradient: ({ gradients, shapes }) => ({ x: overMiddle(gradients["y"]!, shapes["x"]!) }),
  accumulate: "float32",
});

/** Largest element over the middle axis, and where it is. */
export const reduceMaxOp: Op = defineOp({
  name: "reduceMax",
  signature: "x[outer middle inner] -> y[outer inner], at[outer inner]",
  outputDtype: (output, { x }) => (output === "at" ? "int32" : x!.dtype),
  saved: ["at"],
  gradient: ({ saved, gradients, shapes }) => ({
    x: apply(reduceMaxBackwardOp, { at: saved["at"], dy: gradients["y"] }, { middle: shapes["x"]![1]! })["dx"],
  }),
  accumulate: "float32",
});

/** Puts each gradient where the largest element was. */
export const reduceMaxBackwardOp: Op = defineOp({
  name: "reduceMaxBackward",
  signature: "at[outer inner], dy[outer inner] -> dx[outer middle inner]",
  dtypes: { at: ["int32"] },
  axes: ({ middle }) => ({ middle: middle as number }),
  accumulate: "float32",
});

/** A broadcast view: strides of repeated axes are 0. */
export const expandOp: Op = defineOp({
  name: "expand",
  signature: "x[*] -> y[*]",
  view: (x, { shape }) => [
    { shape: shape as Shape, strides: broadcastStrides(x.shape, x.strides, shape as Shape), offset: x.offset },
  ],
  gradient: ({ gradients, shapes }) => ({ x: sumTo(gradients["y"]!, shapes["x"]!) }),
  accumulate: "float32",
});

function overMiddle(dy: Tensor, shape: Shape): Tensor {
  const [outer, , inner] = shape as [number, number, number];
  const kept = apply(reshapeOp, { x: dense(dy) }, { shape: [outer, 1, inner] })["y"]!;
  return dense(apply(expandOp, { x: kept }, { shape })["y"]!);
}

/** Sums axis `axis` away. */
export function sumAxis(x: Tensor, axis: number): Tensor {
  return reduceAxis(reduceSumOp, x, axis)["y"]!;
}

/** Applies a reduction over one axis of any tensor. */
export function reduceAxis(op: Op, x: Tensor, axis: number): Record<string, Tensor> {
  const outer = x.shape.slice(0, axis).reduce((product, size) => product * size, 1);
  const inner = x.shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const folded = apply(reshapeOp, { x: dense(x) }, { shape: [outer, x.shape[axis]!, inner] })["y"]!;
  const shape = x.shape.filter((_, i) => i !== axis);
  const outputs = apply(op, { x: folded });
  return Object.fromEntries(
    Object.entries(outputs).map(([name, y]) => [name, apply(reshapeOp, { x: y }, { shape })["y"]!]),
  );
}

/** Sums over the axes that broadcasting to `x`'s shape would have repeated: the adjoint of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  let out = x;
  const extra = x.shape.length - shape.length;
  for (let axis = x.shape.length - 1; axis >= 0; axis--) {
    const repeated = axis < extra || (shape[axis - extra] === 1 && x.shape[axis] !== 1);
    if (repeated) out = sumAxis(out, axis);
  }
  return sameShape(out.shape, shape) ? out : apply(reshapeOp, { x: dense(out) }, { shape })["y"]!;
}
