// The decay of a state, exp(delta A) h, without the drift that a rounded factor close to 1 would have over many steps.
import { constant, EXP2, exp2Fraction, ONE, power, rounded, ROUNDER, wholePart } from "./math.as";
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

/** {@link decayed} of two vectors of states in memory, to the same bits; what both need is loaded once. */
// @ts-ignore: decorator
@inline
export function decayedPair(x: v128, other: v128, h: usize, otherH: usize, b: v128, otherB: v128): void {
  const most = constant(MOST);
  const least = f32x4.neg(most);
  const rounder = constant(ROUNDER);
  const one = constant(ONE);
  const z0 = f32x4.pmax(f32x4.pmin(x, most), least);
  const z1 = f32x4.pmax(f32x4.pmin(other, most), least);
  const n0 = f32x4.add(z0, rounder);
  const n1 = f32x4.add(z1, rounder);
  const f0 = f32x4.sub(z0, f32x4.sub(n0, rounder));
  const f1 = f32x4.sub(z1, f32x4.sub(n1, rounder));
  const fifth = constant(EXP2 + 20);
  const fourth = constant(EXP2 + 16);
  let q0 = madd(fifth, f0, fourth);
  let q1 = madd(fifth, f1, fourth);
  const third = constant(EXP2 + 12);
  q0 = madd(q0, f0, third);
  q1 = madd(q1, f1, third);
  const second = constant(EXP2 + 8);
  q0 = madd(q0, f0, second);
  q1 = madd(q1, f1, second);
  const first = constant(EXP2 + 4);
  q0 = madd(q0, f0, first);
  q1 = madd(q1, f1, first);
  const zeroth = constant(EXP2);
  q0 = f32x4.mul(madd(q0, f0, zeroth), f0);
  q1 = f32x4.mul(madd(q1, f1, zeroth), f1);
  const sh0 = f32x4.mul(i32x4.add(i32x4.shl(n0, 23), one), v128.load(h));
  const sh1 = f32x4.mul(i32x4.add(i32x4.shl(n1, 23), one), v128.load(otherH));
  v128.store(h, f32x4.add(sh0, madd(q0, sh0, b)));
  v128.store(otherH, f32x4.add(sh1, madd(q1, sh1, otherB)));
}
