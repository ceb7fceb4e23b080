import { ShapeError } from "../../tensor/errors.ts";
import { denseStrides, formatShape, type Shape, sizeOf } from "../../tensor/shape.ts";
import type { Tensor, View } from "../../tensor/tensor.ts";
import { apply, defineOp, type Op, type Tensors } from "../op.ts";

const numbers = (value: unknown): readonly number[] => value as readonly number[];
const anyType = ["float64", "float32", "float16", "bfloat16", "int32", "uint32", "uint8"] as const;

/** Dense copy of any strided view. */
export const copyOp: Op = defineOp({
  name: "copy",
  signature: "x[*] -> y[*]",
  dtypes: { x: anyType },
  outputDtype: (_, { x }) => x!.dtype,
  shapes: ({ x }) => ({ y: x!.shape }),
  gradient: ({ gradients }) => ({ x: gradients["y"] }),
  accumulate: "float32",
});

/** The same elements under another shape; needs a dense input, unless only axes of size 1 come or go. */
export const reshapeOp: Op = defineOp({
  name: "reshape",
  signature: "x[*] -> y[*]",
  dtypes: { x: anyType },
  view: (x, { shape }) => [{ shape: numbers(shape), strides: reshapedStrides(x, numbers(shape)), offset: x.offset }],
  gradient: ({ gradients, shapes }) => ({
    x: apply(reshapeOp, { x: dense(gradients["y"]!) }, { shape: shapes["x"]! })["y"],
  }),
  accumulate: "float32",
});

const longAxes = (shape: Shape): Shape => shape.filter((size) => size !== 1);

/** Whether two shapes differ by axes of size 1 alone. */
export function sameButOnes(a: Shape, b: Shape): boolean {
  return longAxes(a).join() === longAxes(b).join();
}

function reshapedStrides(x: Tensor, shape: Shape): number[] {
  if (x.dense) return denseStrides(shape);
  const strides = x.strides.filter((_, i) => x.shape[i] !== 1);
  return shape.map((size) => (size === 1 ? 1 : strides.shift()!));
}

/** Axes in another order, as a view. */
export const permuteOp: Op = defineOp({
  name: "permute",
  signature: "x[*] -> y[*]",
  dtypes: { x: anyType },
  view: (x, { order }) => [
    {
      shape: numbers(order).map((i) => x.shape[i]!),
      strides: numbers(order).map((i) => x.strides[i]!),
      offset: x.offset,
    },
  ],
  gradient: ({ gradients, params }) => {
    const order = numbers(params["order"]);
    const inverse = order.map((_, i) => order.indexOf(i));
    return { x: dense(apply(permuteOp, { x: gradients["y"] }, { order: inverse })["y"]!) };
  },
  accumulate: "float32",
});

/** Elements `start` to `end` along one axis, as a view. */
export const sliceOp: Op = defineOp({
  name: "slice",
  signature: "x[*] -> y[*]",
  dtypes: { x: anyType },
  view: (x, { axis, start, end }) => [sliceView(x, axis as number, start as number, end as number)],
  gradient: ({ gradients, shapes, params: { axis, start } }) => ({
    x: apply(placeSliceOp, { dy: gradients["y"] }, { shape: shapes["x"]!, axis, start })["dx"],
  }),
  accumulate: "float32",
});

/** Zeros of `shape` with `dy` placed at `start` along one axis: the gradient of a slice. */
export const placeSliceOp: Op = defineOp({
  name: "placeSlice",
  signature: "dy[*] -> dx[*]",
  shapes: (_, { shape }) => ({ dx: numbers(shape) }),
  accumulate: "float32",
});

/** Consecutive parts along one axis, as views. */
export const splitOp: Op = defineOp({
  name: "split",
  signature: "x[*] -> parts[*]",
  dtypes: { x: anyType },
  view: (x, { axis, sizes }) => {
    let start = 0;
    return numbers(sizes).map((size) => sliceView(x, axis as number, start, (start += size)));
  },
  gradient: ({ gradients, shapes, params: { axis, sizes } }) => ({
    x: joinGradients(gradients, shapes["x"]!, axis as number, numbers(sizes)),
  }),
  accumulate: "float32",
});

/** Tensors one after another along one axis. */
export const concatOp: Op = defineOp({
  name: "concat",
  signature: "-> y[*]",
  variadic: true,
  shapes: (parts, { axis }) => ({ y: concatShape(Object.values(parts) as Tensor[], axis as number) }),
  gradient: ({ gradients, shapes, params: { axis }, needs }) => {
    const out: Record<string, Tensor> = {};
    let start = 0;
    for (const [name, shape] of Object.entries(shapes)) {
      if (name === "y") continue;
      const end = start + shape[axis as number]!;
      if (needs.has(name)) out[name] = apply(sliceOp, { x: gradients["y"] }, { axis, start, end })["y"]!;
      start = end;
    }
    return out;
  },
  accumulate: "float32",
});

function sliceView(x: Tensor, axis: number, start: number, end: number): View {
  const shape = x.shape.with(axis, end - start);
  return { shape, strides: x.strides, offset: x.offset + start * x.strides[axis]! };
}

/** `x` itself if it is dense, else a dense copy. */
export function dense(x: Tensor): Tensor {
  return x.dense ? x : apply(copyOp, { x })["y"]!;
}

function joinGradients(gradients: Tensors, shape: Shape, axis: number, sizes: readonly number[]): Tensor {
  const given = sizes.map((_, i) => gradients[splitOutputName(i)]);
  const like = given.find((part) => part !== undefined)!;
  // a part that nothing depends on has no gradient: zeros stand in for it
  const parts = sizes.map((size, i) => given[i] ?? zeroLike(like, shape.with(axis, size), axis));
  return concatAll(parts, axis);
}

function zeroLike(like: Tensor, shape: Shape, axis: number): Tensor {
  const empty = apply(sliceOp, { x: like }, { axis, start: 0, end: 0 })["y"]!;
  return apply(placeSliceOp, { dy: empty }, { shape, axis, start: 0 })["dx"]!;
}

/** Name of one output of a split. */
export function splitOutputName(index: number): string {
  return index === 0 ? "parts" : `part${index}`;
}

/** Applies {@link concatOp} to a list. */
export function concatAll(parts: readonly Tensor[], axis: number): Tensor {
  return apply(concatOp, Object.fromEntries(parts.map((part, i) => [`part${i}`, part])), { axis })["y"]!;
}

function concatShape(parts: readonly Tensor[], axis: number): number[] {
  const first = parts[0]!.shape;
  let total = 0;
  for (const { shape } of parts) {
    if (shape.length !== first.length || shape.some((size, i) => i !== axis && size !== first[i])) {
      throw new ShapeError(
        `concat: tensors must agree on all axes but ${axis}; got ${parts.map((part) => formatShape(part.shape)).join(" and ")}; slice or reshape them`,
        { axis },
      );
    }
    total += shape[axis]!;
  }
  return first.with(axis, total);
}

/** Throws unless `shape` has as many elements as `x`. */
export function checkReshape(x: Tensor, shape: Shape): void {
  if (sizeOf(shape) === x.size) return;
  throw new ShapeError(
    `reshape: the new shape must have ${x.size} elements; got ${formatShape(shape)}; the tensor has shape ${formatShape(x.shape)}`,
    { actual: shape, expected: x.size },
  );
}
