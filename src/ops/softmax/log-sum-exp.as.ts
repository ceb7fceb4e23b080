import { exp, log } from "../../backends/wasm/assembly/math.as";
import { firstLanes, loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { sumLanes } from "../../backends/wasm/assembly/simd.as";

/** Exponentials that are added in float32 before their sum joins the one in float64. */
const BLOCK: i32 = 1024;

/** Largest of `count` floats; -Infinity of none, NaN if there is one. */
export function maxOfRow(x: usize, count: i32): f32 {
  let largest = f32x4.splat(-Infinity);
  let second = largest;
  const pairs = x + (<usize>(count & ~7) << 2);
  for (; x < pairs; x += 32) {
    largest = f32x4.max(largest, v128.load(x));
    second = f32x4.max(second, v128.load(x, 16));
  }
  if (count & 4) {
    largest = f32x4.max(largest, v128.load(x));
    x += 16;
  }
  largest = f32x4.max(largest, second);
  let most = max<f32>(
    max<f32>(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1)),
    max<f32>(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3)),
  );
  for (let i = count & 3; i > 0; i--) {
    most = max<f32>(most, load<f32>(x));
    x += 4;
  }
  return most;
}

/** Sum of e^(x - largest) over a block; stores the terms at `to` unless that is 0. */
function sumBlock(x: usize, count: i32, largest: v128, to: usize): f32 {
  let sum = f32x4.splat(0);
  const rest = count & 3;
  const whole = <usize>(count - rest) << 2;
  for (let i: usize = 0; i < whole; i += 16) {
    const term = exp(f32x4.sub(v128.load(x + i), largest));
    sum = f32x4.add(sum, term);
    if (to) v128.store(to + i, term);
  }
  if (rest) {
    const term = exp(f32x4.sub(loadPartial(x + whole, rest), largest));
    sum = f32x4.add(sum, v128.and(term, firstLanes(rest)));
    if (to) storePartial(to + whole, term, rest);
  }
  return sumLanes(sum);
}

/** Sum of e^(x - largest) over `count` floats; stores the terms at `to` unless that is 0. */
export function sumExp(x: usize, count: i32, largest: f32, to: usize): f32 {
  const largests = f32x4.splat(largest);
  let sum: f64 = 0;
  for (let first = 0; first < count; first += BLOCK) {
    const offset = <usize>first << 2;
    sum += <f64>sumBlock(x + offset, min(count - first, BLOCK), largests, to ? to + offset : 0);
  }
  return <f32>sum;
}

/** Natural logarithm of one number. */
export function logOf(x: f32): f32 {
  return f32x4.extract_lane(log(f32x4.splat(x)), 0);
}
