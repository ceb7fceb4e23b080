import { add, mul, sub } from "../ops/elementwise/index.ts";
import { concat, split } from "../ops/movement/index.ts";
import { ShapeError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** Angle per position falls from 1 to 1 / base over the channels. */
const BASE = 10_000;

/** Cosine and sine of the angles of some positions, each [1 length 1 width/2]. */
export interface RotaryTable {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * The table for positions from `offset` on. Angles are computed in float64: a float32 has no fraction left at large positions.
 *
 * @param like - [batch length heads width]: what is to be rotated
 * @throws ShapeError if the width is odd
 */
export function rotaryTable({ shape, device, dtype }: Tensor, offset = 0, base = BASE): RotaryTable {
  const [, length, , width] = shape as [number, number, number, number];
  if (width % 2 !== 0) {
    throw new ShapeError(`rotary: the width of a head must be even; got ${width}; change the number of heads`, {
      width,
    });
  }
  const half = width / 2;
  const table = (f: (angle: number) => number): Tensor => {
    const values = Float64Array.from({ length: length * half }, (_, i) => {
      return f((offset + Math.floor(i / half)) * base ** (-(i % half) / half));
    });
    return tensor(values, [1, length, 1, half], { device, dtype });
  };
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/**
 * Rotary position embedding: turns each pair of channels (i, i + width / 2) by position x base^(-2 i / width), so that products of
 * queries and keys depend on the distance of their positions alone.
 *
 * @param x - [batch length heads width]
 * @returns the same shape
 * @see Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding", section 3.2.2
 */
export function rotary(x: Tensor, { cos, sin }: RotaryTable): Tensor {
  return scope(() => {
    const half = x.shape[3]! / 2;
    const [first, second] = split(x, [half, half]) as [Tensor, Tensor];
    return concat([sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))]);
  });
}
