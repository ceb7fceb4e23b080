// Causal depthwise convolution: a thread takes vectors of four channels and walks them through time with the window's
// samples in a frame, so that packing, padding and states cost nothing extra.
import { barrier } from "../../backends/wasm/assembly/barrier.as";
import { silu, siluDerivative } from "../../backends/wasm/assembly/math.as";
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd } from "../../backends/wasm/assembly/simd.as";

const SILU: i32 = 1;
const REVERSE: i32 = 2;

// Arguments as byte offsets of words.
const BATCH: usize = 0;
const LENGTH: usize = 4;
const CHANNELS: usize = 8;
const WINDOW: usize = 12;
const FLAGS: usize = 16;
const X: usize = 20; // address, batch stride, row stride
const WEIGHT: usize = 32;
const BIAS: usize = 36;
const INITIAL: usize = 40;
const SEGMENT_IDS: usize = 44;
const SCRATCH: usize = 48; // a frame a thread
const OWN: usize = 52;

const Y: usize = OWN;
const FINAL: usize = OWN + 4;

const DY: usize = OWN; // address, batch stride, row stride
const D_FINAL: usize = OWN + 12;
const D_X: usize = OWN + 16;
const D_WEIGHT: usize = OWN + 20;
const D_BIAS: usize = OWN + 24;
const D_INITIAL: usize = OWN + 28;
const SUMS: usize = OWN + 32; // [batch quads] of [window + 1][4]

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
  return lanes == 4 ? v128.load(from) : loadPartial(from, lanes);
}

// @ts-ignore: decorator
@inline
function storeLanes(to: usize, value: v128, lanes: i32): void {
  if (lanes == 4) v128.store(to, value);
  else storePartial(to, value, lanes);
}

// A frame: weights [window][4], the window's samples [window][4], bias [4].
function samplesOf(args: usize, frame: usize): usize {
  return frame + (<usize>arg(args, WINDOW) << 4);
}

function biasOf(args: usize, frame: usize): usize {
  return frame + (<usize>arg(args, WINDOW) << 5);
}

function frameOf(args: usize, thread: i32): usize {
  return pointer(args, SCRATCH) + <usize>thread * ((<usize>arg(args, WINDOW) << 5) + 16);
}

/** Fills a frame: weights and bias of a quad, and the samples before the sequence. */
function beginQuad(args: usize, batch: i32, channel: i32, lanes: i32, frame: usize): void {
  const window = arg(args, WINDOW);
  const weight = pointer(args, WEIGHT) + <usize>((channel * window) << 2);
  memory.fill(frame, 0, (<usize>window << 5) + 16);
  for (let lane = 0; lane < lanes; lane++) {
    for (let k = 0; k < window; k++) {
      store<f32>(frame + (k << 4) + (lane << 2), load<f32>(weight + ((lane * window + k) << 2)));
    }
  }
  if (pointer(args, BIAS) != 0) v128.store(biasOf(args, frame), loadLanes(pointer(args, BIAS) + (channel << 2), lanes));
  if (pointer(args, INITIAL) != 0) loadState(args, pointer(args, INITIAL), batch, channel, lanes, samplesOf(args, frame));
}

/** Rows [before][4] of a state [batch before channels]. */
function loadState(args: usize, base: usize, batch: i32, channel: i32, lanes: i32, to: usize): void {
  const before = arg(args, WINDOW) - 1;
  for (let k = 0; k < before; k++) {
    const from = base + <usize>(((batch * before + k) * arg(args, CHANNELS) + channel) << 2);
    v128.store(to + (k << 4), loadLanes(from, lanes));
  }
}

function storeState(args: usize, base: usize, batch: i32, channel: i32, lanes: i32, from: usize): void {
  const before = arg(args, WINDOW) - 1;
  for (let k = 0; k < before; k++) {
    const to = base + <usize>(((batch * before + k) * arg(args, CHANNELS) + channel) << 2);
    storeLanes(to, v128.load(from + (k << 4)), lanes);
  }
}

// @ts-ignore: decorator
@inline
function timeOf(args: usize, i: i32): i32 {
  return arg(args, FLAGS) & REVERSE ? arg(args, LENGTH) - 1 - i : i;
}

// @ts-ignore: decorator
@inline
function segmentAt(args: usize, batch: i32, time: i32): i32 {
  const ids = pointer(args, SEGMENT_IDS);
  return ids == 0 ? 0 : load<i32>(ids + ((batch * arg(args, LENGTH) + time) << 2));
}

// @ts-ignore: decorator
@inline
function rowAt(args: usize, input: usize, batch: i32, time: i32): usize {
  return pointer(args, input) + batch * arg(args, input + 4) + time * arg(args, input + 8);
}

// @ts-ignore: decorator
@inline
function denseAt(args: usize, base: usize, batch: i32, time: i32, channel: i32): usize {
  return base + (<usize>((batch * arg(args, LENGTH) + time) * arg(args, CHANNELS) + channel) << 2);
}

/** Puts a sample into the window's last place and gives the weighted sum. */
// @ts-ignore: decorator
@inline
function enter(weights: usize, samples: usize, window: i32, bias: v128, x: v128): v128 {
  let s = bias;
  for (let k = 0; k < window - 1; k++) {
    s = madd(v128.load(weights + (<usize>k << 4)), v128.load(samples + (<usize>k << 4)), s);
  }
  v128.store(samples + (<usize>(window - 1) << 4), x);
  return madd(v128.load(weights + (<usize>(window - 1) << 4)), x, s);
}

/** Makes room for the next sample. */
// @ts-ignore: decorator
@inline
function shift(samples: usize, window: i32): void {
  for (let k = 1; k < window; k++) v128.store(samples + (<usize>(k - 1) << 4), v128.load(samples + (<usize>k << 4)));
}

function forwardQuad(args: usize, batch: i32, channel: i32, lanes: i32, frame: usize): void {
  const window = arg(args, WINDOW);
  const activate = (arg(args, FLAGS) & SILU) != 0;
  const samples = samplesOf(args, frame);
  beginQuad(args, batch, channel, lanes, frame);
  const bias = v128.load(biasOf(args, frame));
  let segment: i32 = -1;
  for (let i = 0; i < arg(args, LENGTH); i++) {
    const time = timeOf(args, i);
    const to = denseAt(args, pointer(args, Y), batch, time, channel);
    const id = segmentAt(args, batch, time);
    if (id < 0) {
      storeLanes(to, f32x4.splat(0), lanes);
      continue;
    }
    if (segment >= 0 && id != segment) memory.fill(samples, 0, window << 4);
    segment = id;
    const s = enter(frame, samples, window, bias, loadLanes(rowAt(args, X, batch, time) + (channel << 2), lanes));
    storeLanes(to, activate ? silu(s) : s, lanes);
    shift(samples, window);
  }
  storeState(args, pointer(args, FINAL), batch, channel, lanes, samples);
}

/** y and final state of the convolution. */
export function causalConvForward(args: usize, thread: i32, threads: i32): void {
  const channels = arg(args, CHANNELS);
  const quads = (channels + 3) >> 2;
  const items = arg(args, BATCH) * quads;
  const end = partStart(items, thread + 1, threads);
  for (let item = partStart(items, thread, threads); item < end; item++) {
    const channel = (item % quads) << 2;
    forwardQuad(args, item / quads, channel, min(4, channels - channel), frameOf(args, thread));
  }
}

/** Sums [window + 1][4] of a quad of a sequence: gradients of its weights and bias. */
function sumsOf(args: usize, batch: i32, quad: i32): usize {
  const quads = (arg(args, CHANNELS) + 3) >> 2;
  return pointer(args, SUMS) + (<usize>(batch * quads + quad) * (arg(args, WINDOW) + 1) << 4);
}

/** Forward in time: gradients before the activation, left in dx, and the sums of weights and bias. */
function slopes(args: usize, batch: i32, channel: i32, lanes: i32, frame: usize): void {
  const window = arg(args, WINDOW);
  const activated = (arg(args, FLAGS) & SILU) != 0;
  const samples = samplesOf(args, frame);
  const sums = sumsOf(args, batch, channel >> 2);
  memory.fill(sums, 0, <usize>(window + 1) << 4);
  beginQuad(args, batch, channel, lanes, frame);
  const bias = v128.load(biasOf(args, frame));
  let segment: i32 = -1;
  for (let i = 0; i < arg(args, LENGTH); i++) {
    const time = timeOf(args, i);
    const id = segmentAt(args, batch, time);
    if (id < 0) continue;
    if (segment >= 0 && id != segment) memory.fill(samples, 0, window << 4);
    segment = id;
    const s = enter(frame, samples, window, bias, loadLanes(rowAt(args, X, batch, time) + (channel << 2), lanes));
    const hasGradient = pointer(args, DY) != 0;
    let ds = hasGradient ? loadLanes(rowAt(args, DY, batch, time) + (channel << 2), lanes) : f32x4.splat(0);
    if (activated) ds = f32x4.mul(ds, siluDerivative(s));
    storeLanes(denseAt(args, pointer(args, D_X), batch, time, channel), ds, lanes);
    for (let k = 0; k < window; k++) {
      const at = <usize>k << 4;
      v128.store(sums + at, madd(ds, v128.load(samples + at), v128.load(sums + at)));
    }
    const last = sums + (<usize>window << 4);
    v128.store(last, f32x4.add(v128.load(last), ds));
    shift(samples, window);
  }
}

/** Segment of the last step before the i-th that is not padding; -1 if there is none. */
function segmentBefore(args: usize, batch: i32, i: i32): i32 {
  for (let k = i - 1; k >= 0; k--) {
    const id = segmentAt(args, batch, timeOf(args, k));
    if (id >= 0) return id;
  }
  return -1;
}

/** Backward in time: what each sample gets from the outputs that saw it. The samples' frame holds the state's gradient. */
function sweep(args: usize, batch: i32, channel: i32, lanes: i32, frame: usize): void {
  const window = arg(args, WINDOW);
  const g = samplesOf(args, frame);
  memory.fill(g, 0, window << 4);
  if (pointer(args, D_FINAL) != 0) loadState(args, pointer(args, D_FINAL), batch, channel, lanes, g);
  const packed = pointer(args, SEGMENT_IDS) != 0;
  const newest = <usize>(window - 1) << 4;
  for (let i = arg(args, LENGTH) - 1; i >= 0; i--) {
    const time = timeOf(args, i);
    const at = denseAt(args, pointer(args, D_X), batch, time, channel);
    const id = segmentAt(args, batch, time);
    if (id < 0) {
      storeLanes(at, f32x4.splat(0), lanes);
      continue;
    }
    const ds = loadLanes(at, lanes);
    const carried = window > 1 ? v128.load(g + newest - 16) : f32x4.splat(0);
    storeLanes(at, madd(v128.load(frame + newest), ds, carried), lanes);
    for (let k = window - 2; k >= 0; k--) {
      const place = <usize>k << 4;
      const older = k > 0 ? v128.load(g + place - 16) : f32x4.splat(0);
      v128.store(g + place, madd(v128.load(frame + place), ds, older));
    }
    if (!packed) continue;
    const before = segmentBefore(args, batch, i);
    if (before >= 0 && before != id) memory.fill(g, 0, window << 4);
  }
  if (pointer(args, D_INITIAL) != 0) storeState(args, pointer(args, D_INITIAL), batch, channel, lanes, g);
}

/** Sums over the batch, in order, as [channels window] and [channels]. */
function reduceQuad(args: usize, quad: i32): void {
  const window = arg(args, WINDOW);
  const channel = quad << 2;
  const lanes = min(4, arg(args, CHANNELS) - channel);
  for (let k = 0; k <= window; k++) {
    let sum = f32x4.splat(0);
    for (let batch = 0; batch < arg(args, BATCH); batch++) {
      sum = f32x4.add(sum, v128.load(sumsOf(args, batch, quad) + (<usize>k << 4)));
    }
    if (k == window) {
      if (pointer(args, D_BIAS) != 0) storeLanes(pointer(args, D_BIAS) + (channel << 2), sum, lanes);
      continue;
    }
    const to = pointer(args, D_WEIGHT) + <usize>((channel * window + k) << 2);
    store<f32>(to, f32x4.extract_lane(sum, 0));
    if (lanes > 1) store<f32>(to + (window << 2), f32x4.extract_lane(sum, 1));
    if (lanes > 2) store<f32>(to + (window << 3), f32x4.extract_lane(sum, 2));
    if (lanes > 3) store<f32>(to + window * 12, f32x4.extract_lane(sum, 3));
  }
}

/** All gradients of the convolution. */
export function causalConvBackward(args: usize, thread: i32, threads: i32): void {
  const channels = arg(args, CHANNELS);
  const quads = (channels + 3) >> 2;
  const items = arg(args, BATCH) * quads;
  const frame = frameOf(args, thread);
  const end = partStart(items, thread + 1, threads);
  for (let item = partStart(items, thread, threads); item < end; item++) {
    const channel = (item % quads) << 2;
    const lanes = min(4, channels - channel);
    slopes(args, item / quads, channel, lanes, frame);
    sweep(args, item / quads, channel, lanes, frame);
  }
  barrier(threads);
  const quadEnd = partStart(quads, thread + 1, threads);
  for (let quad = partStart(quads, thread, threads); quad < quadEnd; quad++) reduceQuad(args, quad);
}
