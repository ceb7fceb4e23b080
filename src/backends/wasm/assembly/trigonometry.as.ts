// Sine, cosine and arctangent of four float32 lanes. The first two have about one unit in the last place up to |x| = 1e6; nothing can be told
// of arguments above 1e9. The remainder after multiples of pi / 2 is taken in float64.

import { constant, HALF, ONE } from "./math.as";
import { madd, nmadd } from "./simd.as";

const TWO_OVER_PI: usize = memory.data<f64>([0.6366197723675814]);
// pi / 2 in two parts; products of the first with whole numbers up to 2^20 are exact
const HALF_PI_HIGH: usize = memory.data<f64>([1.57079632673412561417]);
const HALF_PI_LOW: usize = memory.data<f64>([6.07710050650619224932e-11]);
// adding 1.5 * 2^52 rounds to a whole number and leaves it in the low bits
const ROUNDER: usize = memory.data<f64>([6755399441055744.0]);
// (sin r - r) / r^3 and (cos r - 1 + r^2 / 2) / r^4 on [0, pi / 4], by powers of r^2
const SINE: usize = memory.data<f32>([-0.166666552, 0.0083321603, -0.000195151995]);
const COSINE: usize = memory.data<f32>([0.0416666456, -0.00138873665, 0.0000244383573]);

// @ts-ignore: decorator
@inline
function quarters(x: v128): v128 {
  return f64x2.add(f64x2.mul(x, v128.load_splat<f64>(TWO_OVER_PI)), v128.load_splat<f64>(ROUNDER));
}

// @ts-ignore: decorator
@inline
function remainder(x: v128, quarters: v128): v128 {
  const n = f64x2.sub(quarters, v128.load_splat<f64>(ROUNDER));
  const high = f64x2.sub(x, f64x2.mul(n, v128.load_splat<f64>(HALF_PI_HIGH)));
  return f32x4.demote_f64x2_zero(f64x2.sub(high, f64x2.mul(n, v128.load_splat<f64>(HALF_PI_LOW))));
}

/** sin(x + turns pi / 2). */
// @ts-ignore: decorator
@inline
function turned(x: v128, turns: i32): v128 {
  const low = f64x2.promote_low_f32x4(x);
  const high = f64x2.promote_low_f32x4(i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const lowQuarters = quarters(low);
  const highQuarters = quarters(high);
  const one = constant(ONE);
  let r = i8x16.shuffle(
    remainder(low, lowQuarters), remainder(high, highQuarters), 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23,
  );
  r = f32x4.pmax(f32x4.pmin(r, one), f32x4.neg(one));
  const n = i32x4.add(
    i8x16.shuffle(lowQuarters, highQuarters, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27),
    i32x4.splat(turns),
  );
  const square = f32x4.mul(r, r);
  const odd = madd(madd(constant(SINE + 8), square, constant(SINE + 4)), square, constant(SINE));
  const sine = madd(f32x4.mul(square, r), odd, r);
  const even = madd(madd(constant(COSINE + 8), square, constant(COSINE + 4)), square, constant(COSINE));
  const cosine = madd(f32x4.mul(square, square), even, nmadd(constant(HALF), square, one));
  const useCosine = i32x4.shr_s(i32x4.shl(n, 31), 31);
  const sign = i32x4.shl(i32x4.shr_s(n, 1), 31);
  return v128.xor(v128.bitselect(cosine, sine, useCosine), sign);
}

/** Sine of radians. */
// @ts-ignore: decorator
@inline
export function sin(x: v128): v128 {
  return turned(x, 0);
}

/** Cosine of radians. */
// @ts-ignore: decorator
@inline
export function cos(x: v128): v128 {
  return turned(x, 1);
}

/** Angles whose tangents are x. Beyond tan(pi / 8) and tan(3 pi / 8) they are counted from pi / 4 and pi / 2. */
export function atan(x: v128): v128 {
  const one = f32x4.splat(1);
  const size = f32x4.abs(x);
  const far = f32x4.gt(size, f32x4.splat(2.41421356));
  const middle = v128.andnot(f32x4.gt(size, f32x4.splat(0.414213562)), far);
  let r = v128.bitselect(f32x4.div(f32x4.sub(size, one), f32x4.add(size, one)), size, middle);
  r = v128.bitselect(f32x4.div(f32x4.splat(-1), size), r, far);
  const square = f32x4.mul(r, r);
  let q = madd(f32x4.splat(0.0806030781), square, f32x4.splat(-0.138798490));
  q = madd(q, square, f32x4.splat(0.199779257));
  q = madd(q, square, f32x4.splat(-0.333329558));
  const from = v128.bitselect(f32x4.splat(1.57079637), v128.and(f32x4.splat(0.785398185), middle), far);
  // what those are above pi / 2 and pi / 4
  const above = v128.bitselect(f32x4.splat(4.37113883e-8), v128.and(f32x4.splat(2.18556941e-8), middle), far);
  const angle = f32x4.add(f32x4.add(madd(f32x4.mul(square, r), q, f32x4.neg(above)), r), from);
  return v128.or(angle, v128.and(x, f32x4.splat(-0.0)));
}
