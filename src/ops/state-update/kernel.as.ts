// One step of the selective scan: vectors run over the states of a channel, which lie together in memory.
import { decayed, decayedPair } from "../../backends/wasm/assembly/decay.as";
import { constant, silu, softplus } from "../../backends/wasm/assembly/math.as";
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, sumLanes } from "../../backends/wasm/assembly/simd.as";

const SOFTPLUS: i32 = 1;
const LOG2_E: usize = memory.data<f32>([1.4426950408889634]);

// Arguments as byte offsets of words.
const BATCH: usize = 0;
const CHANNELS: usize = 4;
const STATES: usize = 8;
const GROUPS: usize = 12;
const FLAGS: usize = 16;
const H: usize = 20;
const A: usize = 24;
const D: usize = 28;
const DELTA_BIAS: usize = 32;
const Y: usize = 36;
const U: usize = 40; // address, batch stride
const DELTA: usize = 48;
const Z: usize = 56;
const B: usize = 64; // address, batch stride, group stride
const C: usize = 76;

// @ts-ignore: decorator
@inline
function arg(args: usize, offset: usize): i32 {
  return load<i32>(args + offset);
}

// @ts-ignore: decorator
@inline
function pointer(args: usize, offset: usize): usize {
  return <usize>load<u32>(args + offset);
}

// @ts-ignore: decorator
@inline
function loadLanes(from: usize, lanes: i32): v128 {
  return lanes >= 4 ? v128.load(from) : loadPartial(from, lanes);
}

/** Updates the states of one channel; returns C h. */
// @ts-ignore: decorator
@inline
function updateChannel(h: usize, a: usize, b: usize, c: usize, states: i32, delta: f32, x: f32): f32 {
  const rate = f32x4.mul(f32x4.splat(delta), constant(LOG2_E));
  const input = f32x4.splat(x);
  let sum = f32x4.splat(0);
  let n = 0;
  for (; n + 8 <= states; n += 8) {
    const at = <usize>n << 2;
    const x0 = f32x4.mul(rate, v128.load(a + at));
    const x1 = f32x4.mul(rate, v128.load(a + at, 16));
    const b0 = f32x4.mul(input, v128.load(b + at));
    decayedPair(x0, x1, h + at, h + at + 16, b0, f32x4.mul(input, v128.load(b + at, 16)));
    sum = madd(v128.load(c + at), v128.load(h + at), sum);
    sum = madd(v128.load(c + at, 16), v128.load(h + at, 16), sum);
  }
  for (; n + 4 <= states; n += 4) {
    const at = <usize>n << 2;
    const next = decayed(f32x4.mul(rate, v128.load(a + at)), v128.load(h + at), f32x4.mul(input, v128.load(b + at)));
    v128.store(h + at, next);
    sum = madd(v128.load(c + at), next, sum);
  }
  if (n < states) {
    const at = <usize>n << 2;
    const rest = states - n;
    const fresh = f32x4.mul(input, loadPartial(b + at, rest));
    const next = decayed(f32x4.mul(rate, loadPartial(a + at, rest)), loadPartial(h + at, rest), fresh);
    storePartial(h + at, next, rest);
    sum = madd(loadPartial(c + at, rest), next, sum);
  }
  return sumLanes(sum);
}

/** Four channels, or what is left of them, of one sequence. */
function updateQuad(args: usize, batch: i32, channel: i32, lanes: i32): void {
  const channels = arg(args, CHANNELS);
  const states = arg(args, STATES);
  const perGroup = channels / arg(args, GROUPS);
  const offset = <usize>channel << 2;
  const u = loadLanes(pointer(args, U) + batch * arg(args, U + 4) + offset, lanes);
  let delta = loadLanes(pointer(args, DELTA) + batch * arg(args, DELTA + 4) + offset, lanes);
  if (pointer(args, DELTA_BIAS) != 0) delta = f32x4.add(delta, loadLanes(pointer(args, DELTA_BIAS) + offset, lanes));
  if (arg(args, FLAGS) & SOFTPLUS) delta = softplus(delta);
  const skip = pointer(args, D) == 0 ? f32x4.splat(0) : loadLanes(pointer(args, D) + offset, lanes);
  let steps = delta;
  let inputs = f32x4.mul(delta, u);
  let y = f32x4.splat(0);
  for (let lane = 0; lane < lanes; lane++) {
    const own = channel + lane;
    const group = own / perGroup;
    const rowB = pointer(args, B) + batch * arg(args, B + 4) + group * arg(args, B + 8);
    const rowC = pointer(args, C) + batch * arg(args, C + 4) + group * arg(args, C + 8);
    const h = pointer(args, H) + <usize>(((batch * channels + own) * states) << 2);
    const a = pointer(args, A) + <usize>((own * states) << 2);
    const sum = updateChannel(h, a, rowB, rowC, states, f32x4.extract_lane(steps, 0), f32x4.extract_lane(inputs, 0));
    // the lanes take turns in the first place
    steps = i8x16.shuffle(steps, steps, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    inputs = i8x16.shuffle(inputs, inputs, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
    y = f32x4.replace_lane(y, 0, sum);
    y = i8x16.shuffle(y, y, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
  }
  for (let lane = lanes; lane < 4; lane++) {
    y = i8x16.shuffle(y, y, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
  }
  y = madd(skip, u, y);
  if (pointer(args, Z) != 0) {
    y = f32x4.mul(y, silu(loadLanes(pointer(args, Z) + batch * arg(args, Z + 4) + offset, lanes)));
  }
  const to = pointer(args, Y) + <usize>((batch * channels + channel) << 2);
  if (lanes == 4) v128.store(to, y);
  else storePartial(to, y, lanes);
}

/** One step of the selective scan, the state in place. */
export function stateUpdate(args: usize, thread: i32, threads: i32): void {
  const items = arg(args, BATCH) * ((arg(args, CHANNELS) + 3) >> 2);
  stateUpdateRange(args, partStart(items, thread, threads), partStart(items, thread + 1, threads));
}

/** The same for vectors of four channels, counted through all sequences. */
export function stateUpdateRange(args: usize, first: i32, end: i32): void {
  const channels = arg(args, CHANNELS);
  const quads = (channels + 3) >> 2;
  for (let item = first; item < end; item++) {
    const channel = (item % quads) << 2;
    updateQuad(args, item / quads, channel, min(4, channels - channel));
  }
}
