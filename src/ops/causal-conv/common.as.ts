// What forward and backward of the causal convolution share. Both walk tiles of time by channels that fit into the
// first-level cache; a tile looks up the samples before it, so tiles do not wait for each other.
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { madd } from "../../backends/wasm/assembly/simd.as";

const SILU: i32 = 1;
const REVERSE: i32 = 2;

/** Steps of a tile. */
export const TILE: i32 = 64;
/** Vectors of four channels that pass over a tile one after another: four cache lines of every row. */
export const BLOCK: i32 = 16;

// Arguments as byte offsets of words.
export const BATCH: usize = 0;
export const LENGTH: usize = 4;
export const CHANNELS: usize = 8;
export const WINDOW: usize = 12;
const FLAGS: usize = 16;
export const X: usize = 20; // address, batch stride, row stride
const WEIGHT: usize = 32;
const BIAS: usize = 36;
const INITIAL: usize = 40;
const SEGMENT_IDS: usize = 44;
const SCRATCH: usize = 48; // a frame a thread
/** First word of a kernel's own arguments. */
export const OWN: usize = 52;

// @ts-ignore: decorator
@inline
export function arg(args: usize, offset: usize): i32 {
  return load<i32>(args + offset);
}

// @ts-ignore: decorator
@inline
export function pointer(args: usize, offset: usize): usize {
  return <usize>load<u32>(args + offset);
}

// @ts-ignore: decorator
@inline
export function loadLanes(from: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(from) : loadPartial(from, lanes);
}

// @ts-ignore: decorator
@inline
export function storeLanes(to: usize, value: v128, lanes: i32): void {
  if (lanes == 4) v128.store(to, value);
  else storePartial(to, value, lanes);
}

export function isActivated(args: usize): bool {
  return (arg(args, FLAGS) & SILU) != 0;
}

export function tilesOf(args: usize): i32 {
  return max(1, (arg(args, LENGTH) + TILE - 1) / TILE);
}

export function quadsOf(args: usize): i32 {
  return (arg(args, CHANNELS) + 3) >> 2;
}

// A frame, in vectors: weights [window], samples [window], gradients of samples [window], slopes after a tile [window],
// bias, slopes of a tile [TILE]; then what each step of a tile is [TILE].
export function frameOf(args: usize, thread: i32): usize {
  return pointer(args, SCRATCH) + <usize>thread * ((<usize>arg(args, WINDOW) << 6) + 16 + <usize>TILE * 20);
}

export function samplesOf(args: usize, frame: usize): usize {
  return frame + (<usize>arg(args, WINDOW) << 4);
}

export function gradientsOf(args: usize, frame: usize): usize {
  return frame + (<usize>arg(args, WINDOW) << 5);
}

export function haloOf(args: usize, frame: usize): usize {
  return frame + <usize>arg(args, WINDOW) * 48;
}

export function biasOf(args: usize, frame: usize): usize {
  return frame + (<usize>arg(args, WINDOW) << 6);
}

export function slopesOf(args: usize, frame: usize): usize {
  return biasOf(args, frame) + 16;
}

export function kindsOf(args: usize, frame: usize): usize {
  return slopesOf(args, frame) + (<usize>TILE << 4);
}

/** Weights and bias of a quad of channels into a frame. */
export function loadWeights(args: usize, channel: i32, lanes: i32, frame: usize): void {
  const window = arg(args, WINDOW);
  const weight = pointer(args, WEIGHT) + (<usize>(channel * window) << 2);
  for (let k = 0; k < window; k++) {
    v128.store(frame + (<usize>k << 4), f32x4.splat(0));
    for (let lane = 0; lane < lanes; lane++) {
      const w = load<f32>(weight + (<usize>(lane * window + k) << 2));
      store<f32>(frame + (<usize>k << 4) + (<usize>lane << 2), w);
    }
  }
  const bias = pointer(args, BIAS);
  v128.store(biasOf(args, frame), bias ? loadLanes(bias + (<usize>channel << 2), lanes) : f32x4.splat(0));
}

/** Row `k` of a state [batch before channels], from `channel` on. */
// @ts-ignore: decorator
@inline
export function stateRow(args: usize, base: usize, batch: i32, k: i32, channel: i32): usize {
  const before = arg(args, WINDOW) - 1;
  return base + (<usize>((batch * before + k) * arg(args, CHANNELS) + channel) << 2);
}

/** A quad of a state from [before][4]. */
export function storeState(args: usize, base: usize, batch: i32, channel: i32, lanes: i32, from: usize): void {
  const before = arg(args, WINDOW) - 1;
  for (let k = 0; k < before; k++) {
    storeLanes(stateRow(args, base, batch, k, channel), v128.load(from + (<usize>k << 4)), lanes);
  }
}

/** Place in memory of the i-th step. */
// @ts-ignore: decorator
@inline
export function timeOf(args: usize, i: i32): i32 {
  return arg(args, FLAGS) & REVERSE ? arg(args, LENGTH) - 1 - i : i;
}

/** 1, or -1 where time runs from the end. */
// @ts-ignore: decorator
@inline
export function directionOf(args: usize): i32 {
  return arg(args, FLAGS) & REVERSE ? -1 : 1;
}

// @ts-ignore: decorator
@inline
export function isPacked(args: usize): bool {
  return pointer(args, SEGMENT_IDS) != 0;
}

/** Segment of the i-th step; negative for padding. */
// @ts-ignore: decorator
@inline
export function segmentAt(args: usize, batch: i32, i: i32): i32 {
  const ids = pointer(args, SEGMENT_IDS);
  return ids ? load<i32>(ids + (<usize>(batch * arg(args, LENGTH) + timeOf(args, i)) << 2)) : 0;
}

/** Address of the i-th step of a strided input whose argument is at `input`. */
// @ts-ignore: decorator
@inline
export function rowAt(args: usize, input: usize, batch: i32, i: i32, channel: i32): usize {
  const row = <usize>(timeOf(args, i) * arg(args, input + 8));
  return pointer(args, input) + <usize>(batch * arg(args, input + 4)) + row + (<usize>channel << 2);
}

/** Address of the i-th step of a dense [batch length channels]. */
// @ts-ignore: decorator
@inline
export function denseAt(args: usize, base: usize, batch: i32, i: i32, channel: i32): usize {
  const row = batch * arg(args, LENGTH) + timeOf(args, i);
  return base + (<usize>row * arg(args, CHANNELS) + channel << 2);
}

/** Whether all steps from `first` to `end` are padding. */
export function isPadding(args: usize, batch: i32, first: i32, end: i32): bool {
  for (let i = first; i < end; i++) if (segmentAt(args, batch, i) >= 0) return false;
  return end > first;
}

/**
 * The samples that the i-th step sees besides its own if it goes on with the segment before it, as [before][4], oldest
 * first. Returns that segment, -1 if there is none.
 */
export function loadHistory(args: usize, batch: i32, channel: i32, lanes: i32, i: i32, to: usize): i32 {
  const before = arg(args, WINDOW) - 1;
  memory.fill(to, 0, <usize>(before + 1) << 4);
  let place = before - 1;
  let segment: i32 = -1;
  for (let k = i - 1; k >= 0; k--) {
    const id = segmentAt(args, batch, k);
    if (id < 0) continue;
    if (segment >= 0 && id != segment) return segment;
    segment = id;
    if (place >= 0) v128.store(to + (<usize>place << 4), loadLanes(rowAt(args, X, batch, k, channel), lanes));
    if (--place < 0) return segment;
  }
  const initial = pointer(args, INITIAL);
  if (initial == 0) return segment;
  const skip = before - 1 - place;
  for (let k = 0; k <= place; k++) {
    v128.store(to + (<usize>k << 4), loadLanes(stateRow(args, initial, batch, k + skip, channel), lanes));
  }
  return segment;
}

/** Puts a sample into the window's last place and gives the weighted sum. */
// @ts-ignore: decorator
@inline
export function enter(weights: usize, samples: usize, window: i32, bias: v128, x: v128): v128 {
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
export function shift(samples: usize, window: i32): void {
  for (let k = 1; k < window; k++) v128.store(samples + (<usize>(k - 1) << 4), v128.load(samples + (<usize>k << 4)));
}
