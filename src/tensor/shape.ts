import { ShapeError } from "./errors.ts";

/** Sizes of the axes, outermost first. */
export type Shape = readonly number[];

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const axis of shape) size *= axis;
  return size;
}

/** Element strides of a dense row-major array. */
export function denseStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** True if elements lie one after another in row-major order. Strides of axes of size 1 do not matter. */
export function isDense(shape: Shape, strides: readonly number[]): boolean {
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== stride) return false;
    stride *= shape[i]!;
  }
  return true;
}

/** Equal rank and axes. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** The way shapes are written in messages: `[2 64 96]`. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(" ")}]`;
}

/**
 * The shape that NumPy's broadcasting gives: axes are aligned at the end, and an axis of size 1 is repeated.
 *
 * @throws ShapeError if two sizes differ and neither is 1
 */
export function broadcastShapes(where: string, shapes: readonly Shape[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const out = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    for (let i = 0; i < shape.length; i++) {
      const at = rank - shape.length + i;
      const size = shape[i]!;
      if (size === 1 || size === out[at]) continue;
      if (out[at] !== 1) {
        throw new ShapeError(
          `${where}: shapes must broadcast; got ${shapes.map(formatShape).join(" and ")}; reshape one of them`,
          { shapes },
        );
      }
      out[at] = size;
    }
  }
  return out;
}

/** Strides that read an array of `shape` and `strides` as if it had the broadcast shape `target`. */
export function broadcastStrides(shape: Shape, strides: readonly number[], target: Shape): number[] {
  const skip = target.length - shape.length;
  return target.map((size, i) => (i < skip || (shape[i - skip] === 1 && size !== 1) ? 0 : strides[i - skip]!));
}

/** Resolves a negative axis against a rank and checks it. */
export function resolveAxis(where: string, axis: number, rank: number): number {
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= rank) {
    throw new ShapeError(
      `${where}: axis must be in -${rank} to ${rank - 1}; got ${axis}; the tensor has ${rank} axes`,
      {
        axis,
        rank,
      },
    );
  }
  return resolved;
}
