// Elementary functions of four float32 lanes, about one unit in the last place unless said otherwise.
// Coefficients are minimax fits of this project in float64, rounded. They live in memory, because engines may
// rebuild vector literals in every iteration of a loop; a splat load is as fast as a register move.

import { madd, nmadd } from "./simd.as";

const LOG2_E: usize = memory.data<f32>([1.44269504]);
// adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits
export const ROUNDER: usize = memory.data<f32>([12582912.0]);
// ln 2 in two parts; the first has few bits, so that its products with exponents are exact
const LN2_HIGH: usize = memory.data<f32>([0.693359375]);
const LN2_LOW: usize = memory.data<f32>([-0.000212194440]);
export const HALF: usize = memory.data<f32>([0.5]);
export const ONE: usize = memory.data<f32>([1.0]);
const TWO: usize = memory.data<f32>([2.0]);
const SQRT2: usize = memory.data<f32>([1.41421356]);
const SQRT_HALF: usize = memory.data<f32>([0.707106769]);
const INFINITE: usize = memory.data<f32>([Infinity]);

// beyond these exp is infinite or zero
const EXP_MOST: usize = memory.data<f32>([89.0]);
const EXP_LEAST: usize = memory.data<f32>([-110.0]);
// between these exp is a normal number
const NORMAL_MOST: usize = memory.data<f32>([88.37]);
const NORMAL_LEAST: usize = memory.data<f32>([-87.33]);
const EXPM1_LEAST: usize = memory.data<f32>([-30.0]);
const TANH_MOST: usize = memory.data<f32>([10.0]);
const SMALLEST_NORMAL: usize = memory.data<f32>([1.17549435e-38]);
const TO_NORMAL_EXPONENT: usize = memory.data<f32>([23.0]);
const TO_NORMAL: usize = memory.data<f32>([8388608.0]);

// (2^f - 1) / f on [-1/2, 1/2], relative error 1.1e-8
export const EXP2: usize = memory.data<f32>([
  0.693147182, 0.240226492, 0.0555035733, 0.00961823761, 0.00133907353, 0.000154035122,
]);
// (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2], error 1.4e-8 of e^r - 1
const EXPM1: usize = memory.data<f32>([0.49999997, 0.16666542, 0.0416672044, 0.00836669188, 0.00138824887]);
// (ln(1 + f) - f + f^2 / 2) / f^3 for 1 + f between sqrt(1/2) and sqrt(2), error 5.9e-9 of ln(1 + f)
const LOG: usize = memory.data<f32>([
  0.333333313, -0.250008225, 0.200012341, -0.166232988, 0.142015532, -0.131605819, 0.127633274, -0.07635656,
]);

/** The float32 at `address` in all lanes. */
// @ts-ignore: decorator
@inline
export function constant(address: usize): v128 {
  return v128.load_splat<f32>(address);
}

/** 2^f - 1 for f in [-1/2, 1/2]; exactly 0 at 0. */
// @ts-ignore: decorator
@inline
export function exp2Fraction(f: v128): v128 {
  let q = madd(constant(EXP2 + 20), f, constant(EXP2 + 16));
  q = madd(q, f, constant(EXP2 + 12));
  q = madd(q, f, constant(EXP2 + 8));
  q = madd(q, f, constant(EXP2 + 4));
  q = madd(q, f, constant(EXP2));
  return f32x4.mul(q, f);
}

/** t plus the number whose low bits are then the whole number nearest to t; see {@link wholePart} and {@link power}. */
// @ts-ignore: decorator
@inline
export function rounded(t: v128): v128 {
  return f32x4.add(t, constant(ROUNDER));
}

/** The whole number in {@link rounded}, as a float. */
// @ts-ignore: decorator
@inline
export function wholePart(rounded: v128): v128 {
  return f32x4.sub(rounded, constant(ROUNDER));
}

/** 2^n of the whole number n in {@link rounded}, for n from -126 to 127. */
// @ts-ignore: decorator
@inline
export function power(rounded: v128): v128 {
  return i32x4.add(i32x4.shl(rounded, 23), constant(ONE));
}

/** Whole multiples of ln 2 in x, as {@link rounded} leaves them. */
// @ts-ignore: decorator
@inline
function multiples(x: v128): v128 {
  return madd(x, constant(LOG2_E), constant(ROUNDER));
}

/** x - n ln 2, for the n in `rounded`. */
// @ts-ignore: decorator
@inline
function remainder(x: v128, rounded: v128): v128 {
  const n = wholePart(rounded);
  return nmadd(n, constant(LN2_LOW), nmadd(n, constant(LN2_HIGH), x));
}

/** e^r - 1 for |r| <= ln 2 / 2; exactly r where r^2 vanishes. */
// @ts-ignore: decorator
@inline
function expm1Reduced(r: v128): v128 {
  let q = madd(constant(EXPM1 + 16), r, constant(EXPM1 + 12));
  q = madd(q, r, constant(EXPM1 + 8));
  q = madd(q, r, constant(EXPM1 + 4));
  q = madd(q, r, constant(EXPM1));
  return madd(f32x4.mul(r, r), q, r);
}

/** 2^n (1 + p) in two steps, so that neither factor overflows or vanishes before the product does. */
// @ts-ignore: decorator
@inline
function scaled(p: v128, rounded: v128): v128 {
  const one = constant(ONE);
  const n = i32x4.sub(rounded, constant(ROUNDER));
  const half = i32x4.shr_s(n, 1);
  const low = i32x4.add(i32x4.shl(half, 23), one);
  const high = i32x4.add(i32x4.shl(i32x4.sub(n, half), 23), one);
  return f32x4.mul(f32x4.mul(f32x4.add(one, p), low), high);
}

/** e^x; 0 at -Infinity, denormal and infinite where float32 says so. */
// @ts-ignore: decorator
@inline
export function exp(x: v128): v128 {
  // pmin and pmax keep a NaN in their first operand
  const bounded = f32x4.pmax(f32x4.pmin(x, constant(EXP_MOST)), constant(EXP_LEAST));
  const n = multiples(bounded);
  return scaled(expm1Reduced(remainder(bounded, n)), n);
}

/** e^x where that is a normal number, else the nearest normal number: cheaper than {@link exp}. */
// @ts-ignore: decorator
@inline
export function expNormal(x: v128): v128 {
  const bounded = f32x4.pmax(f32x4.pmin(x, constant(NORMAL_MOST)), constant(NORMAL_LEAST));
  const n = multiples(bounded);
  const p = expm1Reduced(remainder(bounded, n));
  return f32x4.mul(f32x4.add(constant(ONE), p), power(n));
}

/** e^(high + low) for -110 <= high <= 88 and a small low. */
// @ts-ignore: decorator
@inline
export function expOfSum(high: v128, low: v128): v128 {
  const n = multiples(high);
  return scaled(expm1Reduced(f32x4.add(remainder(high, n), low)), n);
}

/** e^x - 1, accurate near 0. */
// @ts-ignore: decorator
@inline
export function expm1(x: v128): v128 {
  const bounded = f32x4.pmax(f32x4.pmin(x, constant(EXP_MOST)), constant(EXPM1_LEAST));
  const n = multiples(bounded);
  const p = expm1Reduced(remainder(bounded, n));
  const half = constant(HALF);
  // half of 2^n, because 2^128 is not a float32
  const factor = i32x4.add(i32x4.shl(n, 23), half);
  const sum = f32x4.add(f32x4.mul(factor, p), f32x4.sub(factor, half));
  return f32x4.add(sum, sum);
}

/** f^3 times the polynomial of ln(1 + f), without f - f^2 / 2. */
// @ts-ignore: decorator
@inline
function logRest(f: v128, square: v128): v128 {
  // pairs first: in Horner's order the chain of eight steps would be waited for
  const p0 = madd(constant(LOG + 4), f, constant(LOG));
  const p1 = madd(constant(LOG + 12), f, constant(LOG + 8));
  const p2 = madd(constant(LOG + 20), f, constant(LOG + 16));
  const p3 = madd(constant(LOG + 28), f, constant(LOG + 24));
  const q = madd(madd(p3, square, p2), f32x4.mul(square, square), madd(p1, square, p0));
  return f32x4.mul(f32x4.mul(square, f), q);
}

/** ln(2^exponent (1 + f)) for 1 + f between sqrt(1/2) and sqrt(2). */
// @ts-ignore: decorator
@inline
function logOfParts(exponent: v128, f: v128): v128 {
  const square = f32x4.mul(f, f);
  let rest = madd(exponent, constant(LN2_LOW), logRest(f, square));
  rest = nmadd(constant(HALF), square, rest);
  return madd(exponent, constant(LN2_HIGH), f32x4.add(f, rest));
}

/** Natural logarithm; -Infinity at 0, NaN below. */
// @ts-ignore: decorator
@inline
export function log(x: v128): v128 {
  const denormal = f32x4.lt(x, constant(SMALLEST_NORMAL));
  const normal = v128.bitselect(f32x4.mul(x, constant(TO_NORMAL)), x, denormal);
  const one = constant(ONE);
  // exponents count from the bits of sqrt(1/2)
  const exponent = i32x4.shr_s(i32x4.sub(normal, constant(SQRT_HALF)), 23);
  const mantissa = i32x4.sub(normal, i32x4.shl(exponent, 23));
  const whole = f32x4.sub(f32x4.convert_i32x4_s(exponent), v128.and(constant(TO_NORMAL_EXPONENT), denormal));
  let y = logOfParts(whole, f32x4.sub(mantissa, one));
  const zero = f32x4.splat(0);
  y = v128.bitselect(f32x4.neg(constant(INFINITE)), y, f32x4.eq(x, zero));
  y = v128.bitselect(y, x, f32x4.lt(x, constant(INFINITE)));
  return v128.or(y, f32x4.lt(x, zero));
}

/** ln(1 + x), accurate near 0. */
// @ts-ignore: decorator
@inline
export function log1p(x: v128): v128 {
  const one = constant(ONE);
  const u = f32x4.add(one, x);
  const y = log(u);
  // what rounding 1 + x has lost
  const correction = f32x4.div(f32x4.sub(x, f32x4.sub(u, one)), u);
  const usable = v128.and(f32x4.gt(u, f32x4.splat(0)), f32x4.lt(u, constant(INFINITE)));
  return f32x4.add(y, v128.and(correction, usable));
}

/** ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|): e^x itself far below 0 and x itself far above. */
// @ts-ignore: decorator
@inline
export function softplus(x: v128): v128 {
  const one = constant(ONE);
  const half = constant(HALF);
  const e = exp(f32x4.neg(f32x4.abs(x)));
  const u = f32x4.add(one, e);
  const large = f32x4.gt(u, constant(SQRT2));
  const mantissa = v128.bitselect(f32x4.mul(u, half), u, large);
  const y = logOfParts(v128.and(one, large), f32x4.sub(mantissa, one));
  // what rounding 1 + e has lost, times 1 / u; 1 - e / 2 is close enough to that for so small a part
  const lost = f32x4.mul(f32x4.sub(e, f32x4.sub(u, one)), nmadd(half, e, one));
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), f32x4.add(y, lost));
}

/** 1 / (1 + e^-x). */
// @ts-ignore: decorator
@inline
export function sigmoid(x: v128): v128 {
  const one = constant(ONE);
  return f32x4.div(one, f32x4.add(one, expNormal(f32x4.neg(x))));
}

/** x / (1 + e^-x). */
// @ts-ignore: decorator
@inline
export function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(constant(ONE), expNormal(f32x4.neg(x))));
}

/** Derivative of {@link silu}: s (1 + x (1 - s)) with s = sigmoid(x) and 1 - s = e^-x s. */
// @ts-ignore: decorator
@inline
export function siluDerivative(x: v128): v128 {
  const one = constant(ONE);
  const e = expNormal(f32x4.neg(x));
  const s = f32x4.div(one, f32x4.add(one, e));
  return f32x4.mul(s, madd(x, f32x4.mul(e, s), one));
}

/** Hyperbolic tangent: d / (d + 2) with d = e^2x - 1. */
// @ts-ignore: decorator
@inline
export function tanh(x: v128): v128 {
  const most = constant(TANH_MOST);
  const bounded = f32x4.pmax(f32x4.pmin(x, most), f32x4.neg(most));
  const d = expm1(f32x4.add(bounded, bounded));
  return f32x4.div(d, f32x4.add(d, constant(TWO)));
}

/** 1 / sqrt(x). */
// @ts-ignore: decorator
@inline
export function rsqrt(x: v128): v128 {
  return f32x4.div(constant(ONE), f32x4.sqrt(x));
}
