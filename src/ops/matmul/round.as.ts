// Rounding to int8 and int4 in blocks of 32, to the bits of src/tensor/quantize.ts.
import { fail, NOT_REPRESENTABLE } from "../../backends/wasm/assembly/control.as";
import { toFloat16 } from "../../backends/wasm/assembly/half.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { BLOCK, hasFours, INT4, INT4_BLOCK, INT4_VALUES, INT8, INT8_BLOCK, INT8_VALUES } from "./weights.as";

/** Orders of an activation's 32 values: as they are in 16 bits, by pairs two columns apart, as they are in 8 bits. */
export const PAIRS: i32 = 0;
export const SPREAD_PAIRS: i32 = 1;
export const BYTES: i32 = 2;

/** Largest magnitude of 32 floats; NaN if one is NaN. */
// @ts-ignore: decorator
@inline
function largestOf(x: usize): f32 {
  let most = f32x4.abs(v128.load(x));
  for (let at: usize = 16; at < 128; at += 16) most = f32x4.max(most, f32x4.abs(v128.load(x + at)));
  most = f32x4.max(most, i8x16.shuffle(most, most, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return max(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1));
}

/** 0 where float32 has no reciprocal: float16 rounds such a scale to zero. */
// @ts-ignore: decorator
@inline
function inverseOf(scale: f32): f32 {
  const inverse: f32 = 1 / scale;
  return abs(inverse) < Infinity ? inverse : 0;
}

/** Whole numbers as integers; one instruction where the feature level has it. What is not finite has a scale that is not either. */
// @ts-ignore: decorator
@inline
function toWhole(x: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_trunc_f32x4_s(x);
  return i32x4.trunc_sat_f32x4_s(x);
}

/** Four values times the inverse, rounded to whole numbers, halves away from zero. */
// @ts-ignore: decorator
@inline
function roundFour(x: usize, inverse: v128): v128 {
  const scaled = f32x4.mul(v128.load(x), inverse);
  const whole = f32x4.trunc(scaled);
  const rest = f32x4.sub(scaled, whole);
  // rest is exact and below 1: twice of it is cut to what has to be added
  return toWhole(f32x4.add(whole, f32x4.trunc(f32x4.add(rest, rest))));
}

// @ts-ignore: decorator
@inline
function roundEight(x: usize, inverse: v128): v128 {
  return i16x8.narrow_i32x4_s(roundFour(x, inverse), roundFour(x + 16, inverse));
}

/** Sum of eight 16-bit numbers, in four lanes. */
// @ts-ignore: decorator
@inline
function pairSums(x: v128): v128 {
  return i32x4.dot_i16x8_s(x, i16x8.splat(1));
}

/**
 * Rounds up to 4 rows of activations, of SPREAD_PAIRS one only. Each block of 32 columns becomes
 *
 *     float32 scales [rows], int32 [rows] -8 times the sum of the values, then the values: pairs [16] [rows] of columns in
 *     16 bits, or fours [8] [rows] of columns in 8 bits
 *
 * @param stride - bytes from a row to the next
 */
export function roundRows(x: usize, stride: usize, rows: i32, blocks: i32, order: i32, to: usize): void {
  const pitch = <usize>rows << 2;
  const bytes = <usize>rows * (order == BYTES ? 40 : 72);
  for (let row = 0; row < rows; row++) {
    let from = x + <usize>row * stride;
    let at = to + (<usize>row << 2);
    for (let block = 0; block < blocks; block++) {
      const scale = largestOf(from) / 127;
      const inverse = f32x4.splat(inverseOf(scale));
      const a = roundEight(from, inverse);
      const b = roundEight(from + 32, inverse);
      const c = roundEight(from + 64, inverse);
      const d = roundEight(from + 96, inverse);
      const sums = i32x4.add(i32x4.add(pairSums(a), pairSums(b)), i32x4.add(pairSums(c), pairSums(d)));
      const low = i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1);
      const sum = low + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
      store<f32>(at, scale);
      store<i32>(at + pitch, -8 * sum);
      if (order == BYTES) {
        storeLanes(at + 2 * pitch, pitch, i8x16.narrow_i16x8_s(a, b));
        storeLanes(at + 6 * pitch, pitch, i8x16.narrow_i16x8_s(c, d));
      } else if (rows == 1) {
        v128.store(at, ordered(a, order), 8);
        v128.store(at, ordered(b, order), 24);
        v128.store(at, ordered(c, order), 40);
        v128.store(at, ordered(d, order), 56);
      } else {
        storeLanes(at + 2 * pitch, pitch, a);
        storeLanes(at + 6 * pitch, pitch, b);
        storeLanes(at + 10 * pitch, pitch, c);
        storeLanes(at + 14 * pitch, pitch, d);
      }
      from += 128;
      at += bytes;
    }
  }
}

// @ts-ignore: decorator
@inline
function ordered(x: v128, order: i32): v128 {
  return order == PAIRS ? x : i8x16.shuffle(x, x, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
}

// @ts-ignore: decorator
@inline
function storeLanes(to: usize, pitch: usize, x: v128): void {
  v128.store_lane<f32>(to, x, 0);
  v128.store_lane<f32>(to + pitch, x, 1);
  v128.store_lane<f32>(to + 2 * pitch, x, 2);
  v128.store_lane<f32>(to + 3 * pitch, x, 3);
}

/** In which order a product with a weight of some type wants many rows. */
// @ts-ignore: decorator
@inline
export function orderFor(type: i32): i32 {
  return ASC_FEATURE_RELAXED_SIMD && (type == INT4 || hasFours()) ? BYTES : PAIRS;
}

/** Bytes of a rounded row. */
// @ts-ignore: decorator
@inline
export function roundedBytes(type: i32, blocks: i32): usize {
  return <usize>blocks * (orderFor(type) == BYTES ? 40 : 72);
}

/**
 * Rounds many rows, in groups of 4.
 * Arguments: x, its row stride in bytes, rows, blocks of 32 columns, to, type of the weight that they are for.
 */
export function roundActivations(args: usize, thread: i32, threads: i32): void {
  const stride = <usize>load<u32>(args, 4);
  const rows = load<i32>(args, 8);
  const blocks = load<i32>(args, 12);
  const type = load<i32>(args, 20);
  const groups = (rows + 3) >> 2;
  const end = partStart(groups, thread + 1, threads);
  for (let group = partStart(groups, thread, threads); group < end; group++) {
    const row = group << 2;
    const to = <usize>load<u32>(args, 16) + <usize>row * roundedBytes(type, blocks);
    roundRows(<usize>load<u32>(args) + <usize>row * stride, stride, min(4, rows - row), blocks, orderFor(type), to);
  }
}

/**
 * A float32 weight in panels of int8 or int4; a block with no scale in float16 is a late error.
 * Arguments: w, its row stride in bytes, to, columns, rows, type.
 */
export function roundWeight(args: usize, thread: i32, threads: i32): void {
  const stride = <usize>load<u32>(args, 4);
  const blocks = load<i32>(args, 12) / BLOCK;
  const rows = load<i32>(args, 16);
  const type = load<i32>(args, 20);
  const bytes = type == INT8 ? INT8_BLOCK : INT4_BLOCK;
  const panels = (rows + 7) >> 3;
  const end = partStart(panels, thread + 1, threads);
  for (let panel = partStart(panels, thread, threads); panel < end; panel++) {
    const to = <usize>load<u32>(args, 8) + <usize>panel * <usize>blocks * bytes;
    const first = panel << 3;
    if (rows - first < 8) memory.fill(to, 0, <usize>blocks * bytes);
    for (let row = first; row < min(first + 8, rows); row++) {
      const from = <usize>load<u32>(args) + <usize>row * stride;
      for (let block = 0; block < blocks; block++) {
        const at = to + <usize>block * bytes;
        const lane = <usize>(row & 7);
        const x = from + (<usize>block << 7);
        const scale = type == INT8 ? roundToInt8(x, at, lane) : roundToInt4(x, at + (lane << 2));
        const bits = i32x4.extract_lane(toFloat16(f32x4.splat(scale)), 0);
        if ((bits & 0x7c00) == 0x7c00) fail(NOT_REPRESENTABLE, args, row, type);
        store<u16>(at + (type == INT8 ? INT8_VALUES : INT4_VALUES) + (lane << 1), <u16>bits);
      }
    }
  }
}

/** Pairs of columns, 16 bytes apart, or fours, 32 bytes apart; gives the scale. */
function roundToInt8(x: usize, block: usize, lane: usize): f32 {
  const fours = hasFours();
  let to = block + (lane << (fours ? 2 : 1));
  const scale = largestOf(x) / 127;
  const inverse = f32x4.splat(inverseOf(scale));
  for (let k = 0; k < BLOCK; k += 8) {
    const words = roundEight(x, inverse);
    const bytes = i8x16.narrow_i16x8_s(words, words);
    if (fours) {
      const moved = v128.xor(bytes, i8x16.splat(-128));
      v128.store_lane<i32>(to, moved, 0);
      v128.store_lane<i32>(to, moved, 1, 32);
    } else {
      v128.store_lane<i16>(to, bytes, 0);
      v128.store_lane<i16>(to, bytes, 1, 16);
      v128.store_lane<i16>(to, bytes, 2, 32);
      v128.store_lane<i16>(to, bytes, 3, 48);
    }
    x += 32;
    to += 64;
  }
  return scale;
}

/** Groups of 8 columns in 4 bytes, 32 bytes apart; gives the scale. */
function roundToInt4(x: usize, to: usize): f32 {
  const largest = largestOf(x);
  if (largest != largest) return largest;
  let extreme: f32 = 0;
  for (let k: usize = 0; k < 128; k += 4) {
    extreme = load<f32>(x + k);
    if (abs(extreme) == largest) break;
  }
  const scale = extreme / -8;
  const inverse = f32x4.splat(inverseOf(scale));
  for (let k = 0; k < BLOCK; k += 8) {
    const pairs = v128.or(nibbles(x, inverse), i32x4.shl(nibbles(x + 16, inverse), 4));
    const words = i16x8.narrow_i32x4_u(pairs, pairs);
    v128.store_lane<i32>(to, i8x16.narrow_i16x8_u(words, words), 0);
    x += 32;
    to += 32;
  }
  return scale;
}

/** min(15, floor(x inverse + 8.5)) of four values. */
// @ts-ignore: decorator
@inline
function nibbles(x: usize, inverse: v128): v128 {
  const moved = f32x4.add(f32x4.mul(v128.load(x), inverse), f32x4.splat(8.5));
  return i32x4.min_s(i32x4.trunc_sat_f32x4_s(moved), i32x4.splat(15));
}
