// Ends of rows that do not fill a vector.

/** The `count` (1 to 3) floats at `address`, then zeros. */
// @ts-ignore: decorator
@inline
export function loadPartial(address: usize, count: i32): v128 {
  if (count == 1) return v128.load32_zero(address);
  const pair = v128.load64_zero(address);
  return count == 2 ? pair : v128.load_lane<f32>(address, pair, 2, 8);
}

/** Stores the first `count` (1 to 3) lanes. */
// @ts-ignore: decorator
@inline
export function storePartial(address: usize, x: v128, count: i32): void {
  if (count == 1) {
    v128.store_lane<f32>(address, x, 0);
    return;
  }
  v128.store_lane<f64>(address, x, 0);
  if (count == 3) v128.store_lane<f32>(address, x, 2, 8);
}

/** Four floats `stride` bytes apart. */
// @ts-ignore: decorator
@inline
export function loadStrided(address: usize, stride: usize): v128 {
  const low = v128.load_lane<f32>(address + stride, v128.load32_zero(address), 1);
  return v128.load_lane<f32>(address + 3 * stride, v128.load_lane<f32>(address + 2 * stride, low, 2), 3);
}

/** The first `count` (1 to 3) of four floats `stride` bytes apart, then zeros. */
export function loadStridedPartial(address: usize, stride: usize, count: i32): v128 {
  const first = v128.load32_zero(address);
  if (count == 1) return first;
  const pair = v128.load_lane<f32>(address + stride, first, 1);
  return count == 2 ? pair : v128.load_lane<f32>(address + 2 * stride, pair, 2);
}

/** The first `lanes` (1 to 4) of four floats `stride` bytes apart, then zeros. */
// @ts-ignore: decorator
@inline
export function loadStridedLanes(address: usize, stride: usize, lanes: i32): v128 {
  return lanes == 4 ? loadStrided(address, stride) : loadStridedPartial(address, stride, lanes);
}

/** Stores the first `lanes` lanes of two vectors as pairs `stride` bytes apart: real and imaginary parts. */
export function storeStridedPairs(address: usize, stride: usize, re: v128, im: v128, lanes: i32): void {
  for (let lane = 0; lane < lanes; lane++) {
    store<f32>(address, f32x4.extract_lane(re, 0));
    store<f32>(address, f32x4.extract_lane(im, 0), 4);
    re = i8x16.shuffle(re, re, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    im = i8x16.shuffle(im, im, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    address += stride;
  }
}

/** All bits in the first `count` (1 to 3) lanes, none in the others. */
// @ts-ignore: decorator
@inline
export function firstLanes(count: i32): v128 {
  return i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count));
}
