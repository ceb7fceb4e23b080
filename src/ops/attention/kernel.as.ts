// Causal attention, four keys at a time with a running maximum. Every query, and in backward every key, is worked out by one
// thread alone and in order, so that any number of threads gives the same bits.
import { exp } from "../../backends/wasm/assembly/math.as";
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, sumLanes } from "../../backends/wasm/assembly/simd.as";

// Words: batch, length, keys, heads, width, scale; q, k and v as address and strides of batch, token, head; segments or 0.
const Q: usize = 24;
const K: usize = 40;
const V: usize = 56;
const SEGMENTS: usize = 72;
const OWN: usize = 76;

// @ts-ignore: decorator
@inline
function word(args: usize, at: usize): i32 {
  return load<i32>(args + at);
}

/** Address of a token's row in a strided operand. */
// @ts-ignore: decorator
@inline
function rowOf(args: usize, operand: usize, batch: i32, token: i32, head: i32): usize {
  const place = batch * word(args, operand + 4) + token * word(args, operand + 8) + head * word(args, operand + 12);
  return <usize>word(args, operand) + <usize>place;
}

/** Address of a token's row in a dense tensor of [batch tokens heads width]. */
// @ts-ignore: decorator
@inline
function denseRow(args: usize, base: usize, tokens: i32, batch: i32, token: i32, head: i32): usize {
  const row = (batch * tokens + token) * word(args, 12) + head;
  return base + ((<usize>row * <usize>word(args, 16)) << 2);
}

/** Up to four floats; what lies behind `count` is 0. */
// @ts-ignore: decorator
@inline
function loadSome(from: usize, count: i32): v128 {
  return count >= 4 ? v128.load(from) : loadPartial(from, count);
}

// @ts-ignore: decorator
@inline
function storeSome(to: usize, value: v128, count: i32): void {
  if (count >= 4) v128.store(to, value);
  else storePartial(to, value, count);
}

function dot(a: usize, b: usize, width: i32): f32 {
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

function clear(to: usize, width: i32): void {
  memory.fill(to, 0, <usize>width << 2);
}

/** First key that the query of key `own` sees; behind `own` where it is padding. */
function firstKey(args: usize, batch: i32, own: i32): i32 {
  const segments = <usize>word(args, SEGMENTS);
  if (!segments) return 0;
  const row = segments + ((<usize>batch * <usize>word(args, 8)) << 2);
  const segment = load<i32>(row + (<usize>own << 2));
  if (segment < 0) return own + 1;
  let first = own;
  while (first > 0 && load<i32>(row + (<usize>(first - 1) << 2)) == segment) first--;
  return first;
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

/** Words behind the common ones: y, logSumExp. */
export function attention(args: usize, thread: i32, threads: i32): void {
  const length = word(args, 4);
  const heads = word(args, 12);
  const rows = word(args, 0) * heads * length;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const i = row % length;
    const head = (row / length) % heads;
    attendQuery(args, row / (length * heads), head, i, <usize>word(args, OWN + 4) + (<usize>row << 2));
  }
}

/** One query: its output, and the logarithm of the sum of its weights. */
function attendQuery(args: usize, batch: i32, head: i32, i: i32, logSumExp: usize): void {
  const length = word(args, 4);
  const width = word(args, 16);
  const scale = load<f32>(args, 20);
  const own = word(args, 8) - length + i;
  const first = firstKey(args, batch, own);
  const q = rowOf(args, Q, batch, i, head);
  const y = denseRow(args, <usize>word(args, OWN), length, batch, i, head);
  clear(y, width);
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
  const inverse = f32x4.splat(1 / total);
  for (let c = 0; c < width; c += 4) {
    const at = y + (<usize>c << 2);
    storeSome(at, f32x4.mul(loadSome(at, width - c), inverse), width - c);
  }
  store<f32>(logSumExp, most + <f32>Math.log(<f64>total));
}

// Words of backward behind the common ones: y, logSumExp, dy, shared, dq, dk, dv; shared[row] = dy . y of a query.
const LOG_SUM_EXP: usize = OWN + 4;
const DY: usize = OWN + 8;
const SHARED: usize = OWN + 12;
const DQ: usize = OWN + 16;
const DK: usize = OWN + 20;
const DV: usize = OWN + 24;

/** Weight of a key for a query. */
// @ts-ignore: decorator
@inline
function weightOf(args: usize, q: usize, k: usize, row: i32): f32 {
  const score = load<f32>(args, 20) * dot(q, k, word(args, 16));
  return f32x4.extract_lane(exp(f32x4.splat(score - load<f32>(<usize>word(args, LOG_SUM_EXP) + (<usize>row << 2)))), 0);
}

/** Gradients of queries. */
export function attentionQueries(args: usize, thread: i32, threads: i32): void {
  const length = word(args, 4);
  const heads = word(args, 12);
  const width = word(args, 16);
  const scale = load<f32>(args, 20);
  const rows = word(args, 0) * heads * length;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const i = row % length;
    const head = (row / length) % heads;
    const batch = row / (length * heads);
    const own = word(args, 8) - length + i;
    const q = rowOf(args, Q, batch, i, head);
    const dy = denseRow(args, <usize>word(args, DY), length, batch, i, head);
    const dq = denseRow(args, <usize>word(args, DQ), length, batch, i, head);
    const shared = dot(dy, denseRow(args, <usize>word(args, OWN), length, batch, i, head), width);
    store<f32>(<usize>word(args, SHARED) + (<usize>row << 2), shared);
    clear(dq, width);
    for (let key = firstKey(args, batch, own); key <= own; key++) {
      const k = rowOf(args, K, batch, key, head);
      const dweight = dot(dy, rowOf(args, V, batch, key, head), width);
      addScaled(dq, k, weightOf(args, q, k, row) * (dweight - shared) * scale, width);
    }
  }
}

/** Gradients of keys and values. */
export function attentionKeys(args: usize, thread: i32, threads: i32): void {
  const keys = word(args, 8);
  const heads = word(args, 12);
  const rows = word(args, 0) * heads * keys;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    collectKey(args, row / (keys * heads), (row / keys) % heads, row % keys);
  }
}

/** One key: what all queries that see it give it. */
function collectKey(args: usize, batch: i32, head: i32, key: i32): void {
  const length = word(args, 4);
  const keys = word(args, 8);
  const width = word(args, 16);
  const scale = load<f32>(args, 20);
  const k = rowOf(args, K, batch, key, head);
  const v = rowOf(args, V, batch, key, head);
  const dk = denseRow(args, <usize>word(args, DK), keys, batch, key, head);
  const dv = denseRow(args, <usize>word(args, DV), keys, batch, key, head);
  clear(dk, width);
  clear(dv, width);
  const segments = <usize>word(args, SEGMENTS);
  const ids = segments + ((<usize>batch * <usize>keys) << 2);
  const segment = segments ? load<i32>(ids + (<usize>key << 2)) : 0;
  if (segment < 0) return;
  for (let i = max(0, key - (keys - length)); i < length; i++) {
    if (segments && load<i32>(ids + (<usize>(keys - length + i) << 2)) != segment) break;
    const row = (batch * word(args, 12) + head) * length + i;
    const q = rowOf(args, Q, batch, i, head);
    const dy = denseRow(args, <usize>word(args, DY), length, batch, i, head);
    const weight = weightOf(args, q, k, row);
    const shared = load<f32>(<usize>word(args, SHARED) + (<usize>row << 2));
    addScaled(dk, q, weight * (dot(dy, v, width) - shared) * scale, width);
    addScaled(dv, dy, weight, width);
  }
}
