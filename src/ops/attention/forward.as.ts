// Causal attention, four queries by four keys at a time with a running maximum. A block of queries is worked out by one thread
// alone and in order, so that any number of threads gives the same bits; threads take turns, for later blocks see more keys.
import { exp } from "../../backends/wasm/assembly/math.as";
import { madd, sumLanes } from "../../backends/wasm/assembly/simd.as";
import {
  BLOCK, denseRow, denseStep, dot, dots, firstKey, K, KEPT, loadSome, mixAll, mixSome, OWN, Q, rowOf, scaleRow, storeSome, tileOf,
  V, word,
} from "./common.as";

/** Words behind the common ones: y, logSumExp. */
export function attention(args: usize, thread: i32, threads: i32): void {
  const length = word(args, 4);
  const heads = word(args, 12);
  const blocks = (length + BLOCK - 1) / BLOCK;
  const end = word(args, 0) * heads * blocks;
  for (let block = thread; block < end; block += threads) {
    const row = block / blocks;
    const i = (block - row * blocks) * BLOCK;
    const logSumExp = <usize>word(args, OWN + 4) + (<usize>(row * length + i) << 2);
    if (length - i == 1) attendQuery(args, row / heads, row % heads, i, logSumExp);
    else attendBlock(args, tileOf(args, thread), row / heads, row % heads, i, logSumExp);
  }
}

/** A block of queries: their outputs, and the logarithms of the sums of their weights. */
function attendBlock(args: usize, tile: usize, batch: i32, head: i32, i: i32, logSumExp: usize): void {
  const length = word(args, 4);
  const width = word(args, 16);
  const count = min(BLOCK, length - i);
  const scale = v128.load32_splat(args + 20);
  const own = word(args, 8) - length + i;
  const firsts = firstKeys(args, batch, own, count);
  const q = rowOf(args, Q, batch, i, head);
  const qStep = <usize>word(args, Q + 8);
  const y = denseRow(args, <usize>word(args, OWN), length, batch, i, head);
  const yStep = denseStep(args);
  for (let row = 0; row < count; row++) memory.fill(y + <usize>row * yStep, 0, <usize>width << 2);
  const lowest = f32x4.splat(-Infinity);
  let most = lowest;
  let total = f32x4.splat(0);
  const last = own + count - 1;
  const lasts = i32x4.add(i32x4.splat(own), i32x4(0, 1, 2, 3));
  let key = min(
    min(i32x4.extract_lane(firsts, 0), i32x4.extract_lane(firsts, 1)),
    min(i32x4.extract_lane(firsts, 2), i32x4.extract_lane(firsts, 3)),
  );
  for (; key <= last; key += 4) {
    const keys = min(4, last + 1 - key);
    dots(q, qStep, count, rowOf(args, K, batch, key, head), <usize>word(args, K + 8), keys, width, tile);
    let seen = i32x4.splat(-1);
    let next = most;
    for (let j = 0; j < 4; j++) {
      const at = i32x4.splat(key + j);
      const sees = v128.and(i32x4.ge_s(at, firsts), i32x4.le_s(at, lasts));
      const score = v128.bitselect(f32x4.mul(scale, v128.load(tile + (<usize>j << 4))), lowest, sees);
      seen = v128.and(seen, sees);
      next = f32x4.max(next, score);
      v128.store(tile + (<usize>j << 4), score);
    }
    // a query that has seen nothing yet keeps -infinity, which must not be subtracted from itself
    const finite = v128.and(next, f32x4.ne(next, lowest));
    const kept = v128.bitselect(f32x4.splat(1), exp(f32x4.sub(most, finite)), f32x4.eq(most, next));
    v128.store(tile + KEPT, kept);
    let sum = f32x4.splat(0);
    for (let j = 0; j < 4; j++) {
      const weight = exp(f32x4.sub(v128.load(tile + (<usize>j << 4)), finite));
      sum = f32x4.add(sum, weight);
      v128.store(tile + (<usize>j << 4), weight);
    }
    total = madd(total, kept, sum);
    most = next;
    const v = rowOf(args, V, batch, key, head);
    const vStep = <usize>word(args, V + 8);
    if (keys == 4 && i32x4.all_true(seen)) mixAll(y, yStep, tile, tile, v, vStep, width);
    else mixSome(y, yStep, count, tile, tile, v, vStep, keys, width);
  }
  v128.store(tile, total);
  v128.store(tile + KEPT, most);
  for (let row = 0; row < count; row++) {
    const at = <usize>row << 2;
    const sum = load<f32>(tile + at);
    // padding sees no key: its output stays 0
    if (sum > 0 || sum != sum) scaleRow(y + <usize>row * yStep, 1 / sum, width);
    const largest = load<f32>(tile + KEPT + at);
    store<f32>(logSumExp + at, sum == 0 ? 0 : largest + <f32>Math.log(<f64>sum));
  }
}

/** First keys that the queries of a block see; where there is no query, or it is padding, a key that never comes. */
function firstKeys(args: usize, batch: i32, own: i32, count: i32): v128 {
  let firsts = i32x4.splat(i32.MAX_VALUE);
  firsts = i32x4.replace_lane(firsts, 0, firstOrNone(args, batch, own));
  if (count > 1) firsts = i32x4.replace_lane(firsts, 1, firstOrNone(args, batch, own + 1));
  if (count > 2) firsts = i32x4.replace_lane(firsts, 2, firstOrNone(args, batch, own + 2));
  if (count > 3) firsts = i32x4.replace_lane(firsts, 3, firstOrNone(args, batch, own + 3));
  return firsts;
}

function firstOrNone(args: usize, batch: i32, own: i32): i32 {
  const first = firstKey(args, batch, own);
  return first > own ? i32.MAX_VALUE : first;
}

/** Products of a query with up to four keys, in lanes; -infinity where there is no key. */
function scores(args: usize, q: usize, batch: i32, head: i32, key: i32, count: i32, scale: f32): v128 {
  const width = word(args, 16);
  let s = f32x4.splat(-Infinity);
  s = f32x4.replace_lane(s, 0, scale * dot(q, rowOf(args, K, batch, key, head), width));
  if (count > 1) s = f32x4.replace_lane(s, 1, scale * dot(q, rowOf(args, K, batch, key + 1, head), width));
  if (count > 2) s = f32x4.replace_lane(s, 2, scale * dot(q, rowOf(args, K, batch, key + 2, head), width));
  if (count > 3) s = f32x4.replace_lane(s, 3, scale * dot(q, rowOf(args, K, batch, key + 3, head), width));
  return s;
}

// @ts-ignore: decorator
@inline
function largest(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3)),
  );
}

/** y = kept y + weights in lanes . values of up to four keys. */
function mixValues(args: usize, y: usize, kept: f32, weights: v128, batch: i32, head: i32, key: i32, count: i32): void {
  const width = word(args, 16);
  const scale = f32x4.splat(kept);
  const v0 = rowOf(args, V, batch, key, head);
  const step = <usize>word(args, V + 8);
  const w0 = f32x4.splat(f32x4.extract_lane(weights, 0));
  const w1 = f32x4.splat(f32x4.extract_lane(weights, 1));
  const w2 = f32x4.splat(f32x4.extract_lane(weights, 2));
  const w3 = f32x4.splat(f32x4.extract_lane(weights, 3));
  for (let c = 0; c < width; c += 4) {
    const at = <usize>c << 2;
    const left = width - c;
    let sum = f32x4.mul(scale, loadSome(y + at, left));
    sum = madd(w0, loadSome(v0 + at, left), sum);
    if (count > 1) sum = madd(w1, loadSome(v0 + step + at, left), sum);
    if (count > 2) sum = madd(w2, loadSome(v0 + 2 * step + at, left), sum);
    if (count > 3) sum = madd(w3, loadSome(v0 + 3 * step + at, left), sum);
    storeSome(y + at, sum, left);
  }
}

/** A query without a block, as when tokens come one at a time. */
function attendQuery(args: usize, batch: i32, head: i32, i: i32, logSumExp: usize): void {
  const length = word(args, 4);
  const width = word(args, 16);
  const scale = load<f32>(args, 20);
  const own = word(args, 8) - length + i;
  const first = firstKey(args, batch, own);
  const q = rowOf(args, Q, batch, i, head);
  const y = denseRow(args, <usize>word(args, OWN), length, batch, i, head);
  memory.fill(y, 0, <usize>width << 2);
  store<f32>(logSumExp, 0);
  if (first > own) return;
  let most: f32 = -Infinity;
  let total: f32 = 0;
  for (let key = first; key <= own; key += 4) {
    const count = min(4, own + 1 - key);
    const s = scores(args, q, batch, head, key, count, scale);
    const next = max(most, largest(s));
    const kept: f32 = most == next ? 1 : f32x4.extract_lane(exp(f32x4.splat(most - next)), 0);
    const weights = exp(f32x4.sub(s, f32x4.splat(next)));
    total = total * kept + sumLanes(weights);
    mixValues(args, y, kept, weights, batch, head, key, count);
    most = next;
  }
  scaleRow(y, 1 / total, width);
  store<f32>(logSumExp, most + <f32>Math.log(<f64>total));
}
