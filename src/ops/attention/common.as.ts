// What the kernels of attention share: words, rows, and tiles of four rows by four rows.
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { madd, sumLanes } from "../../backends/wasm/assembly/simd.as";

// Words: batch, length, keys, heads, width, scale; q, k and v as address and strides of batch, token, head; segments or 0;
// tiles, TILE_BYTES for each thread.
export const Q: usize = 24;
export const K: usize = 40;
export const V: usize = 56;
export const SEGMENTS: usize = 72;
const TILES: usize = 76;
export const OWN: usize = 80;

/** Rows of a block, which one thread works out; lanes of a tile's vectors. */
export const BLOCK: i32 = 4;

// A tile: four vectors of weights, four of other products, and what is kept of the rows so far; lanes are rows of the block.
export const OTHER: usize = 64;
export const KEPT: usize = 128;
const TILE_BYTES: usize = 144;

// @ts-ignore: decorator
@inline
export function word(args: usize, at: usize): i32 {
  return load<i32>(args + at);
}

// @ts-ignore: decorator
@inline
export function tileOf(args: usize, thread: i32): usize {
  return <usize>word(args, TILES) + <usize>thread * TILE_BYTES;
}

/** Address of a token's row in a strided operand. */
// @ts-ignore: decorator
@inline
export function rowOf(args: usize, operand: usize, batch: i32, token: i32, head: i32): usize {
  const place = batch * word(args, operand + 4) + token * word(args, operand + 8) + head * word(args, operand + 12);
  return <usize>word(args, operand) + <usize>place;
}

/** Address of a token's row in a dense tensor of [batch tokens heads width]. */
// @ts-ignore: decorator
@inline
export function denseRow(args: usize, base: usize, tokens: i32, batch: i32, token: i32, head: i32): usize {
  const row = (batch * tokens + token) * word(args, 12) + head;
  return base + ((<usize>row * <usize>word(args, 16)) << 2);
}

/** Bytes from a token's row to the next one's in a dense tensor. */
// @ts-ignore: decorator
@inline
export function denseStep(args: usize): usize {
  return <usize>(word(args, 12) * word(args, 16)) << 2;
}

/** Up to four floats; what lies behind `count` is 0. */
// @ts-ignore: decorator
@inline
export function loadSome(from: usize, count: i32): v128 {
  return count >= 4 ? v128.load(from) : loadPartial(from, count);
}

// @ts-ignore: decorator
@inline
export function storeSome(to: usize, value: v128, count: i32): void {
  if (count >= 4) v128.store(to, value);
  else storePartial(to, value, count);
}

/** Product of two rows. */
export function dot(a: usize, b: usize, width: i32): f32 {
  let sum = f32x4.splat(0);
  for (let c = 0; c < width; c += 4) {
    const at = <usize>c << 2;
    sum = madd(loadSome(a + at, width - c), loadSome(b + at, width - c), sum);
  }
  return sumLanes(sum);
}

/** to += factor x */
function addScaled(to: usize, x: usize, factor: f32, width: i32): void {
  const scale = f32x4.splat(factor);
  for (let c = 0; c < width; c += 4) {
    const at = <usize>c << 2;
    storeSome(to + at, madd(scale, loadSome(x + at, width - c), loadSome(to + at, width - c)), width - c);
  }
}

/** to *= factor */
export function scaleRow(to: usize, factor: f32, width: i32): void {
  const scale = f32x4.splat(factor);
  for (let c = 0; c < width; c += 4) {
    const at = to + (<usize>c << 2);
    storeSome(at, f32x4.mul(loadSome(at, width - c), scale), width - c);
  }
}

/** First key that the query of key `own` sees; behind `own` where it is padding. */
export function firstKey(args: usize, batch: i32, own: i32): i32 {
  const segments = <usize>word(args, SEGMENTS);
  if (!segments) return 0;
  const row = segments + ((<usize>batch * <usize>word(args, 8)) << 2);
  const segment = load<i32>(row + (<usize>own << 2));
  if (segment < 0) return own + 1;
  let first = own;
  while (first > 0 && load<i32>(row + (<usize>(first - 1) << 2)) == segment) first--;
  return first;
}

/** Sums of the lanes of four vectors, each (0 + 2) + (1 + 3). */
// @ts-ignore: decorator
@inline
function sumFour(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(
    v128.shuffle<i32>(a, b, 0, 4, 1, 5),
    v128.shuffle<i32>(a, b, 2, 6, 3, 7),
  );
  const cd = f32x4.add(
    v128.shuffle<i32>(c, d, 0, 4, 1, 5),
    v128.shuffle<i32>(c, d, 2, 6, 3, 7),
  );
  return f32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** Four products: a vector for every row of b, a lane for every row of a. Rows behind the counts repeat the last one. */
export function dots(a: usize, aStep: usize, aCount: i32, b: usize, bStep: usize, bCount: i32, width: i32, to: usize): void {
  const a1 = a + <usize>min(1, aCount - 1) * aStep;
  const a2 = a + <usize>min(2, aCount - 1) * aStep;
  const a3 = a + <usize>min(3, aCount - 1) * aStep;
  for (let j = 0; j < 4; j += 2) {
    const b0 = b + <usize>min(j, bCount - 1) * bStep;
    const b1 = b + <usize>min(j + 1, bCount - 1) * bStep;
    let s00 = f32x4.splat(0);
    let s10 = s00;
    let s20 = s00;
    let s30 = s00;
    let s01 = s00;
    let s11 = s00;
    let s21 = s00;
    let s31 = s00;
    let at: usize = 0;
    for (let left = width; left > 0; left -= 4) {
      const y0 = loadSome(b0 + at, left);
      const y1 = loadSome(b1 + at, left);
      let x = loadSome(a + at, left);
      s00 = madd(x, y0, s00);
      s01 = madd(x, y1, s01);
      x = loadSome(a1 + at, left);
      s10 = madd(x, y0, s10);
      s11 = madd(x, y1, s11);
      x = loadSome(a2 + at, left);
      s20 = madd(x, y0, s20);
      s21 = madd(x, y1, s21);
      x = loadSome(a3 + at, left);
      s30 = madd(x, y0, s30);
      s31 = madd(x, y1, s31);
      at += 16;
    }
    v128.store(to + (<usize>j << 4), sumFour(s00, s10, s20, s30));
    v128.store(to + (<usize>j << 4) + 16, sumFour(s01, s11, s21, s31));
  }
}

// @ts-ignore: decorator
@inline
function weightAt(weights: usize, j: usize, row: usize): v128 {
  return v128.load32_splat(weights + (j << 4) + (row << 2));
}

/** Two rows of a block: to = kept to + weights . four rows of `from`. */
function mixTwo(to: usize, toStep: usize, row: usize, tile: usize, weights: usize, from: usize, step: usize, width: i32): void {
  const y0 = to + row * toStep;
  const y1 = y0 + toStep;
  const kept0 = v128.load32_splat(tile + KEPT + (row << 2));
  const kept1 = v128.load32_splat(tile + KEPT + (row << 2) + 4);
  const u0 = weightAt(weights, 0, row);
  const u1 = weightAt(weights, 1, row);
  const u2 = weightAt(weights, 2, row);
  const u3 = weightAt(weights, 3, row);
  const w0 = weightAt(weights, 0, row + 1);
  const w1 = weightAt(weights, 1, row + 1);
  const w2 = weightAt(weights, 2, row + 1);
  const w3 = weightAt(weights, 3, row + 1);
  let at: usize = 0;
  for (let left = width; left > 0; left -= 4) {
    const source = from + at;
    let sum0 = f32x4.mul(kept0, loadSome(y0 + at, left));
    let sum1 = f32x4.mul(kept1, loadSome(y1 + at, left));
    let x = loadSome(source, left);
    sum0 = madd(u0, x, sum0);
    sum1 = madd(w0, x, sum1);
    x = loadSome(source + step, left);
    sum0 = madd(u1, x, sum0);
    sum1 = madd(w1, x, sum1);
    x = loadSome(source + 2 * step, left);
    sum0 = madd(u2, x, sum0);
    sum1 = madd(w2, x, sum1);
    x = loadSome(source + 3 * step, left);
    sum0 = madd(u3, x, sum0);
    sum1 = madd(w3, x, sum1);
    storeSome(y0 + at, sum0, left);
    storeSome(y1 + at, sum1, left);
    at += 16;
  }
}

/** A whole tile: every row of the block sees all four rows of `from`. */
// @ts-ignore: decorator
@inline
export function mixAll(to: usize, toStep: usize, tile: usize, weights: usize, from: usize, step: usize, width: i32): void {
  mixTwo(to, toStep, 0, tile, weights, from, step, width);
  mixTwo(to, toStep, 2, tile, weights, from, step, width);
}

/** A tile with rows missing or unseen. What has no weight is not read: its NaN must not reach rows that do not see it. */
export function mixSome(
  to: usize, toStep: usize, toCount: i32, tile: usize, weights: usize, from: usize, step: usize, count: i32, width: i32,
): void {
  for (let row = 0; row < toCount; row++) {
    const y = to + <usize>row * toStep;
    const kept = load<f32>(tile + KEPT + (<usize>row << 2));
    if (kept != 1) scaleRow(y, kept, width);
    for (let j = 0; j < count; j++) {
      const weight = load<f32>(weights + (<usize>j << 4) + (<usize>row << 2));
      if (weight != 0) addScaled(y, from + <usize>j * step, weight, width);
    }
  }
}
