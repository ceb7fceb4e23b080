/**
 * Elementary functions in WGSL, which promises less of its own than float32 can hold. Coefficients are those of the wasm backend's
 * `math.as.ts`, fitted in this project.
 */
const functions = {
  expm1Reduced: `
fn expm1Reduced(r: f32) -> f32 {
  let q = fma(fma(fma(fma(0.00138824887, r, 0.00836669188), r, 0.0416672044), r, 0.16666542), r, 0.49999997);
  return fma(r * r, q, r);
}`,
  // ln 2 in two parts; the first has few bits, so that its products with exponents are exact
  exponent: `
fn exponentOf(x: f32) -> f32 { return round(x * 1.44269504); }
fn remainderOf(x: f32, n: f32) -> f32 { return fma(n, 0.000212194440, fma(n, -0.693359375, x)); }`,
  exp: `
fn expOf(x: f32) -> f32 {
  let bounded = clamp(x, -110.0, 89.0);
  let n = exponentOf(bounded);
  let half = floor(n * 0.5);
  return ldexp(ldexp(1.0 + expm1Reduced(remainderOf(bounded, n)), i32(half)), i32(n - half));
}`,
  expm1: `
fn expm1Of(x: f32) -> f32 {
  let bounded = clamp(x, -30.0, 89.0);
  let n = exponentOf(bounded);
  let p = expm1Reduced(remainderOf(bounded, n));
  // half of 2^n, because 2^128 is not a float32
  let factor = ldexp(0.5, i32(n));
  let sum = fma(factor, p, factor - 0.5);
  return sum + sum;
}`,
  log: `
fn logRest(f: f32) -> f32 {
  var q = fma(-0.07635656, f, 0.127633274);
  q = fma(q, f, -0.131605819);
  q = fma(q, f, 0.142015532);
  q = fma(q, f, -0.166232988);
  q = fma(q, f, 0.200012341);
  q = fma(q, f, -0.250008225);
  q = fma(q, f, 0.333333313);
  return f * f * f * q;
}
fn logOfParts(exponent: f32, f: f32) -> f32 {
  let rest = fma(-0.5, f * f, fma(exponent, -0.000212194440, logRest(f)));
  return fma(exponent, 0.693359375, f + rest);
}
fn logOf(x: f32) -> f32 {
  let isSmall = x < 1.17549435e-38;
  let normal = select(x, x * 8388608.0, isSmall);
  let bits = bitcast<i32>(normal);
  // exponents count from the bits of sqrt(1/2)
  let exponent = (bits - 0x3f3504f3) >> 23u;
  let mantissa = bitcast<f32>(bits - (exponent << 23u));
  let y = logOfParts(f32(exponent) - select(0.0, 23.0, isSmall), mantissa - 1.0);
  return select(y, log(x), x <= 0.0 || x > 3.4028234e38);
}`,
  log1p: `
fn log1pOf(x: f32) -> f32 {
  let u = 1.0 + x;
  let y = logOf(u);
  // what rounding 1 + x has lost
  return select(y, y + (x - (u - 1.0)) / u, u > 0.0 && u < 3.0e38);
}`,
  softplus: `
fn softplusOf(x: f32) -> f32 { return max(x, 0.0) + log1pOf(expOf(-abs(x))); }`,
  sigmoid: `
fn sigmoidOf(x: f32) -> f32 { return 1.0 / (1.0 + expOf(min(-x, 88.0))); }`,
  tanh: `
fn tanhOf(x: f32) -> f32 {
  let d = expm1Of(2.0 * clamp(x, -10.0, 10.0));
  return d / (d + 2.0);
}`,
  gelu: `
fn gaussianOf(t: f32) -> f32 {
  // the square in two parts: its rounding would be multiplied by the exponent
  let top = bitcast<f32>(bitcast<u32>(t) & 0xfffff000u);
  let low = 0.5 * (t - top) * (t + top);
  return expOf(-0.5 * top * top) * (1.0 - low + 0.5 * low * low);
}
fn tailRatio(t: f32) -> f32 {
  let u = (t - 3.0) / (t + 3.0);
  var g = fma(0.0000533628772, u, 0.000115223113);
  g = fma(g, u, -0.000339201099);
  g = fma(g, u, -0.000983475824);
  g = fma(g, u, 0.00290445541);
  g = fma(g, u, 0.00613199407);
  g = fma(g, u, -0.046213273);
  g = fma(g, u, 0.123225033);
  g = fma(g, u, -0.206402615);
  return fma(g, u, 0.121513948);
}
fn geluOf(x: f32) -> f32 {
  let t = min(abs(x), 14.3);
  let tail = tailRatio(t) * gaussianOf(t);
  return x * select(1.0 - tail, tail, x < 0.0);
}
fn geluDerivative(x: f32) -> f32 {
  let bounded = clamp(x, -14.3, 14.3);
  let t = abs(bounded);
  let bell = gaussianOf(t);
  let tail = tailRatio(t) * bell;
  return fma(bounded, bell * 0.398942280, select(1.0 - tail, tail, x < 0.0));
}`,
  // beyond tan(pi / 8) and tan(3 pi / 8) the angle is counted from pi / 4 and pi / 2
  atan: `
fn atanOf(x: f32) -> f32 {
  let size = abs(x);
  let isFar = size > 2.41421356;
  let isMiddle = size > 0.414213562 && !isFar;
  var r = select(size, (size - 1.0) / (size + 1.0), isMiddle);
  r = select(r, -1.0 / size, isFar);
  let square = r * r;
  var q = fma(0.0806030781, square, -0.138798490);
  q = fma(q, square, 0.199779257);
  q = fma(q, square, -0.333329558);
  let start = select(select(0.0, 0.785398185, isMiddle), 1.57079637, isFar);
  // what that is above pi / 4 or pi / 2
  let above = select(select(0.0, 2.18556941e-8, isMiddle), 4.37113883e-8, isFar);
  let angle = (fma(square * r, q, -above) + r) + start;
  return select(angle, -angle, x < 0.0);
}`,
  // pi / 2 in three parts, the first two of which have few bits
  trigonometry: `
fn turned(x: f32, turns: i32) -> f32 {
  let quarters = round(x * 0.636619747);
  let r = fma(quarters, -7.54978995e-8, fma(quarters, -4.83751297e-4, fma(quarters, -1.5703125, x)));
  let n = i32(quarters) + turns;
  let square = r * r;
  let sine = fma(square * r, fma(fma(-0.000195151995, square, 0.0083321603), square, -0.166666552), r);
  let even = fma(fma(0.0000244383573, square, -0.00138873665), square, 0.0416666456);
  let cosine = fma(square * square, even, fma(-0.5, square, 1.0));
  let value = select(sine, cosine, (n & 1) == 1);
  return select(value, -value, (n & 2) == 2);
}`,
} as const;

/** Names of the pieces. */
export type WgslMath = keyof typeof functions;

const needs: Partial<Record<WgslMath, readonly WgslMath[]>> = {
  exp: ["exponent", "expm1Reduced"],
  expm1: ["exponent", "expm1Reduced"],
  log1p: ["log"],
  softplus: ["exp", "log1p"],
  sigmoid: ["exp"],
  tanh: ["expm1"],
  gelu: ["exp"],
};

/** The pieces with what they need, each once. */
export function wgslMath(...names: readonly WgslMath[]): string {
  const found = new Set<WgslMath>();
  const add = (name: WgslMath): void => {
    if (found.has(name)) return;
    for (const needed of needs[name] ?? []) add(needed);
    found.add(name);
  };
  for (const name of names) add(name);
  return [...found].map((name) => functions[name]).join("\n");
}
