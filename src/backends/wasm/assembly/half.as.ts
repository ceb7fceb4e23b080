// float16 and bfloat16 in the low halves of four 32-bit lanes.

/** float32 of float16 bits. */
// @ts-ignore: decorator
@inline
export function fromFloat16(bits: v128): v128 {
  const magnitude = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), 13);
  // the exponent's bias differs by 112; the product makes denormals normal too
  const scaled = f32x4.mul(magnitude, f32x4.splat(5.192296858534828e33));
  const special = i32x4.ge_s(magnitude, i32x4.splat(0x0f800000));
  const value = v128.or(scaled, v128.and(special, i32x4.splat(0x7f800000)));
  return v128.or(value, i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16));
}

/** float16 bits nearest to x, ties to even; NaN is 0x7e00. */
// @ts-ignore: decorator
@inline
export function toFloat16(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  const magnitude = v128.xor(x, sign);
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  // 112 off the exponent, and half a unit of what is cut off
  const moved = i32x4.add(i32x4.add(magnitude, i32x4.splat(0xc8000fff)), odd);
  // next to 1/2 a unit in the last place is that of denormals
  const half = f32x4.splat(0.5);
  const denormal = i32x4.sub(f32x4.add(magnitude, half), half);
  let bits = v128.bitselect(denormal, i32x4.shr_u(moved, 13), i32x4.lt_s(magnitude, i32x4.splat(0x38800000)));
  bits = v128.bitselect(i32x4.splat(0x7c00), bits, i32x4.ge_s(magnitude, i32x4.splat(0x477ff000)));
  bits = v128.or(bits, i32x4.shr_u(sign, 16));
  return v128.bitselect(i32x4.splat(0x7e00), bits, f32x4.ne(x, x));
}

/** float32 of bfloat16 bits. */
// @ts-ignore: decorator
@inline
export function fromBfloat16(bits: v128): v128 {
  return i32x4.shl(bits, 16);
}

/** bfloat16 bits nearest to x, ties to even. */
// @ts-ignore: decorator
@inline
export function toBfloat16(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd), 16);
  const quiet = v128.or(i32x4.shr_u(x, 16), i32x4.splat(0x40));
  return v128.bitselect(quiet, rounded, f32x4.ne(x, x));
}
