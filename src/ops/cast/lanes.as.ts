// Elements of 1, 2 or 4 bytes in four 32-bit lanes, zero above their bits.

// @ts-ignore: decorator
@inline
export function loadBits4(from: usize): v128 {
  return v128.load(from);
}

// @ts-ignore: decorator
@inline
export function loadBits2(from: usize): v128 {
  return v128.load_ext<u16>(from);
}

// @ts-ignore: decorator
@inline
export function loadBits1(from: usize): v128 {
  return i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(from)));
}

/** The first `count` (1 to 3) elements, then zeros. */
// @ts-ignore: decorator
@inline
export function loadSome<T>(from: usize, count: i32): v128 {
  let bits = i32x4.replace_lane(i32x4.splat(0), 0, <i32>load<T>(from));
  if (count > 1) bits = i32x4.replace_lane(bits, 1, <i32>load<T>(from + sizeof<T>()));
  return count > 2 ? i32x4.replace_lane(bits, 2, <i32>load<T>(from + 2 * sizeof<T>())) : bits;
}

// @ts-ignore: decorator
@inline
export function storeBits4(to: usize, bits: v128): void {
  v128.store(to, bits);
}

// @ts-ignore: decorator
@inline
export function storeBits2(to: usize, bits: v128): void {
  v128.store_lane<u64>(to, i16x8.narrow_i32x4_u(bits, bits), 0);
}

// @ts-ignore: decorator
@inline
export function storeBits1(to: usize, bits: v128): void {
  const words = i16x8.narrow_i32x4_u(bits, bits);
  v128.store_lane<u32>(to, i8x16.narrow_i16x8_u(words, words), 0);
}

/** Stores the first `count` (1 to 3) elements. */
// @ts-ignore: decorator
@inline
export function storeSome<T>(to: usize, bits: v128, count: i32): void {
  store<T>(to, <T>i32x4.extract_lane(bits, 0));
  if (count > 1) store<T>(to + sizeof<T>(), <T>i32x4.extract_lane(bits, 1));
  if (count > 2) store<T>(to + 2 * sizeof<T>(), <T>i32x4.extract_lane(bits, 2));
}
