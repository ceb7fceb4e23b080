// The normal distribution function in four float32 lanes, relative error below 6e-7 also far out.

import { constant, expOfSum, HALF, ONE } from "./math.as";
import { madd } from "./simd.as";

// Q(t) = g(t) e^(-t^2 / 2) for t >= 0; g as a polynomial in (t - 3) / (t + 3) up to t = 14.3, relative error 8.6e-9
const TAIL: usize = memory.data<f32>([
  0.121513948, -0.206402615, 0.123225033, -0.046213273, 0.00613199407, 0.00290445541, -0.000983475824, -0.000339201099,
  0.000115223113, 0.0000533628772,
]);
const CENTRE: usize = memory.data<f32>([3.0]);
// Q is 0 in float32 from here on
const TAIL_MOST: usize = memory.data<f32>([14.3]);
// leaves 12 bits of a float32, whose square is exact
const TOP_BITS: usize = memory.data<i32>([-4096]);
const DENSITY: usize = memory.data<f32>([0.398942280]);

/** e^(-t^2 / 2) for 0 <= t <= 14.3, with the rounding of t^2 made good. */
// @ts-ignore: decorator
@inline
function gaussian(t: v128): v128 {
  const half = constant(HALF);
  const top = v128.and(t, constant(TOP_BITS));
  const high = f32x4.mul(f32x4.mul(top, top), half);
  const low = f32x4.mul(f32x4.mul(f32x4.sub(t, top), f32x4.add(t, top)), half);
  return expOfSum(f32x4.neg(high), f32x4.neg(low));
}

/** Q(t) / e^(-t^2 / 2). */
// @ts-ignore: decorator
@inline
function tailRatio(t: v128): v128 {
  const centre = constant(CENTRE);
  const u = f32x4.div(f32x4.sub(t, centre), f32x4.add(t, centre));
  let g = madd(constant(TAIL + 36), u, constant(TAIL + 32));
  g = madd(g, u, constant(TAIL + 28));
  g = madd(g, u, constant(TAIL + 24));
  g = madd(g, u, constant(TAIL + 20));
  g = madd(g, u, constant(TAIL + 16));
  g = madd(g, u, constant(TAIL + 12));
  g = madd(g, u, constant(TAIL + 8));
  g = madd(g, u, constant(TAIL + 4));
  return madd(g, u, constant(TAIL));
}

// @ts-ignore: decorator
@inline
function distribution(x: v128, tail: v128): v128 {
  const negative = f32x4.lt(x, f32x4.splat(0));
  return v128.bitselect(tail, f32x4.sub(constant(ONE), tail), negative);
}

/** x Phi(x) with the exact normal distribution function Phi. */
// @ts-ignore: decorator
@inline
export function gelu(x: v128): v128 {
  const t = f32x4.pmin(f32x4.abs(x), constant(TAIL_MOST));
  return f32x4.mul(x, distribution(x, f32x4.mul(tailRatio(t), gaussian(t))));
}

/** Phi(x) + x e^(-x^2 / 2) / sqrt(2 pi). */
// @ts-ignore: decorator
@inline
export function geluDerivative(x: v128): v128 {
  const most = constant(TAIL_MOST);
  const bounded = f32x4.pmax(f32x4.pmin(x, most), f32x4.neg(most));
  const t = f32x4.abs(bounded);
  const bell = gaussian(t);
  const density = f32x4.mul(bell, constant(DENSITY));
  return madd(bounded, density, distribution(x, f32x4.mul(tailRatio(t), bell)));
}
