// Gradients of attention: weights are computed again, four rows by four rows at a time. First blocks of queries give dq and
// dy . y; then blocks of keys collect dk and dv. A block is worked out by one thread alone and in order.
import { exp } from "../../backends/wasm/assembly/math.as";
import {
  BLOCK, denseRow, denseStep, dot, dots, firstKey, K, KEPT, loadSome, mixAll, mixSome, OTHER, OWN, Q, rowOf, SEGMENTS, tileOf, V,
  word,
} from "./common.as";

// Words behind the common ones: y, logSumExp, dy, shared, dq, dk, dv; shared[row] = dy . y of a query.
const LOG_SUM_EXP: usize = OWN + 4;
const DY: usize = OWN + 8;
const SHARED: usize = OWN + 12;
const DQ: usize = OWN + 16;
const DK: usize = OWN + 20;
const DV: usize = OWN + 24;

/** Gradients of queries. */
export function attentionQueries(args: usize, thread: i32, threads: i32): void {
  const length = word(args, 4);
  const heads = word(args, 12);
  const blocks = (length + BLOCK - 1) / BLOCK;
  const end = word(args, 0) * heads * blocks;
  for (let block = thread; block < end; block += threads) {
    const row = block / blocks;
    queryBlock(args, tileOf(args, thread), row / heads, row % heads, (block - row * blocks) * BLOCK);
  }
}

/** Weights of a tile at `tile`, their gradients at OTHER, from the products that lie there; both 0 where unseen. */
// @ts-ignore: decorator
@inline
function weigh(at: usize, scale: v128, logSumExp: v128, shared: v128, seen: v128): void {
  const weight = v128.and(seen, exp(f32x4.sub(f32x4.mul(scale, v128.load(at)), logSumExp)));
  const change = f32x4.mul(f32x4.mul(weight, f32x4.sub(v128.load(at + OTHER), shared)), scale);
  v128.store(at, weight);
  v128.store(at + OTHER, v128.and(seen, change));
}

function queryBlock(args: usize, tile: usize, batch: i32, head: i32, i: i32): void {
  const length = word(args, 4);
  const width = word(args, 16);
  const count = min(BLOCK, length - i);
  const scale = v128.load32_splat(args + 20);
  const own = word(args, 8) - length + i;
  const row = <usize>((batch * word(args, 12) + head) * length + i) << 2;
  const step = denseStep(args);
  const y = denseRow(args, <usize>word(args, OWN), length, batch, i, head);
  const dy = denseRow(args, <usize>word(args, DY), length, batch, i, head);
  const dq = denseRow(args, <usize>word(args, DQ), length, batch, i, head);
  const sharedRow = <usize>word(args, SHARED) + row;
  let key = i32.MAX_VALUE;
  let firsts = i32x4.splat(key);
  for (let r = 0; r < count; r++) {
    const offset = <usize>r * step;
    store<f32>(sharedRow + (<usize>r << 2), dot(dy + offset, y + offset, width));
    memory.fill(dq + offset, 0, <usize>width << 2);
    const first = firstKey(args, batch, own + r);
    if (first > own + r) continue;
    firsts = v128.bitselect(i32x4.splat(first), firsts, i32x4.eq(i32x4(0, 1, 2, 3), i32x4.splat(r)));
    key = min(key, first);
  }
  const shared = loadSome(sharedRow, count);
  const logSumExp = loadSome(<usize>word(args, LOG_SUM_EXP) + row, count);
  const lasts = i32x4.add(i32x4.splat(own), i32x4(0, 1, 2, 3));
  const q = rowOf(args, Q, batch, i, head);
  v128.store(tile + KEPT, f32x4.splat(1));
  const last = own + count - 1;
  for (; key <= last; key += 4) {
    const keys = min(4, last + 1 - key);
    const k = rowOf(args, K, batch, key, head);
    const kStep = <usize>word(args, K + 8);
    dots(q, <usize>word(args, Q + 8), count, k, kStep, keys, width, tile);
    dots(dy, step, count, rowOf(args, V, batch, key, head), <usize>word(args, V + 8), keys, width, tile + OTHER);
    let all = i32x4.splat(-1);
    for (let j = 0; j < 4; j++) {
      const at = i32x4.splat(key + j);
      const seen = v128.and(i32x4.ge_s(at, firsts), i32x4.le_s(at, lasts));
      weigh(tile + (<usize>j << 4), scale, logSumExp, shared, seen);
      all = v128.and(all, seen);
    }
    if (keys == 4 && i32x4.all_true(all)) mixAll(dq, step, tile, tile + OTHER, k, kStep, width);
    else mixSome(dq, step, count, tile, tile + OTHER, k, kStep, keys, width);
  }
}

/** Gradients of keys and values. */
export function attentionKeys(args: usize, thread: i32, threads: i32): void {
  const keys = word(args, 8);
  const heads = word(args, 12);
  const blocks = (keys + BLOCK - 1) / BLOCK;
  const end = word(args, 0) * heads * blocks;
  for (let block = thread; block < end; block += threads) {
    const row = block / blocks;
    keyBlock(args, tileOf(args, thread), row / heads, row % heads, (block - row * blocks) * BLOCK);
  }
}

/** The key behind the last of a key's segment; 0 where it is padding. */
function segmentEnd(args: usize, batch: i32, key: i32): i32 {
  const keys = word(args, 8);
  const segments = <usize>word(args, SEGMENTS);
  if (!segments) return keys;
  const row = segments + ((<usize>batch * <usize>keys) << 2);
  const segment = load<i32>(row + (<usize>key << 2));
  if (segment < 0) return 0;
  let end = key + 1;
  while (end < keys && load<i32>(row + (<usize>end << 2)) == segment) end++;
  return end;
}

/** A block of keys: what all queries that see them give them. */
function keyBlock(args: usize, tile: usize, batch: i32, head: i32, key: i32): void {
  const length = word(args, 4);
  const keys = word(args, 8);
  const width = word(args, 16);
  const count = min(BLOCK, keys - key);
  const scale = v128.load32_splat(args + 20);
  const step = denseStep(args);
  const dk = denseRow(args, <usize>word(args, DK), keys, batch, key, head);
  const dv = denseRow(args, <usize>word(args, DV), keys, batch, key, head);
  let end = 0;
  let ends = i32x4.splat(0);
  for (let r = 0; r < count; r++) {
    memory.fill(dk + <usize>r * step, 0, <usize>width << 2);
    memory.fill(dv + <usize>r * step, 0, <usize>width << 2);
    const own = segmentEnd(args, batch, key + r);
    ends = v128.bitselect(i32x4.splat(own), ends, i32x4.eq(i32x4(0, 1, 2, 3), i32x4.splat(r)));
    end = max(end, own);
  }
  const starts = i32x4.add(i32x4.splat(key), i32x4(0, 1, 2, 3));
  const k = rowOf(args, K, batch, key, head);
  const v = rowOf(args, V, batch, key, head);
  const row = (batch * word(args, 12) + head) * length;
  v128.store(tile + KEPT, f32x4.splat(1));
  for (let own = max(key, keys - length); own < end; own += 4) {
    const queries = min(4, end - own);
    const i = own - (keys - length);
    const q = rowOf(args, Q, batch, i, head);
    const qStep = <usize>word(args, Q + 8);
    const dy = denseRow(args, <usize>word(args, DY), length, batch, i, head);
    dots(k, <usize>word(args, K + 8), count, q, qStep, queries, width, tile);
    dots(v, <usize>word(args, V + 8), count, dy, step, queries, width, tile + OTHER);
    let all = i32x4.splat(-1);
    for (let j = 0; j < 4; j++) {
      const at = i32x4.splat(own + j);
      const seen = v128.and(i32x4.ge_s(at, starts), i32x4.lt_s(at, ends));
      const place = <usize>(row + i + min(j, queries - 1)) << 2;
      const logSumExp = v128.load32_splat(<usize>word(args, LOG_SUM_EXP) + place);
      weigh(tile + (<usize>j << 4), scale, logSumExp, v128.load32_splat(<usize>word(args, SHARED) + place), seen);
      all = v128.and(all, seen);
    }
    if (queries == 4 && i32x4.all_true(all)) {
      mixAll(dv, step, tile, tile, dy, step, width);
      mixAll(dk, step, tile, tile + OTHER, q, qStep, width);
    } else {
      mixSome(dv, step, count, tile, tile, dy, step, queries, width);
      mixSome(dk, step, count, tile, tile + OTHER, q, qStep, queries, width);
    }
  }
}
