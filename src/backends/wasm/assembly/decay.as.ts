// The decay of a state, exp(delta A) h, without the drift that a rounded factor close to 1 would have over many steps.
import { constant, exp2Fraction, power, rounded, wholePart } from "./math.as";
import { madd } from "./simd.as";

const MOST: usize = memory.data<f32>([126]);

/** x where 2^x is a normal number, else the nearest such. */
// @ts-ignore: decorator
@inline
export function bounded(x: v128): v128 {
  const most = constant(MOST);
  // unlike min and max these are one instruction each
  return f32x4.pmax(f32x4.pmin(x, most), f32x4.neg(most));
}

/**
 * 2^x h + b, with 2^x = s (1 + p), s a power of two and p exact near 0: s h + (p s h + b) loses nothing of p where the
 * decay is slow.
 */
// @ts-ignore: decorator
@inline
export function decayed(x: v128, h: v128, b: v128): v128 {
  const z = bounded(x);
  const n = rounded(z);
  const sh = f32x4.mul(power(n), h);
  return f32x4.add(sh, madd(exp2Fraction(f32x4.sub(z, wholePart(n))), sh, b));
}
