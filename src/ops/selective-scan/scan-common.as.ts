// What the forward and the backward scan share: arguments, quads of channels, segments.
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";

/** Time steps of a chunk: the state at the entry of each is saved for backward. */
export const CHUNK: i32 = 64;
/** Quads of channels that a thread walks side by side through a chunk: 16 channels, one cache line a row. */
export const BLOCK: i32 = 4;

export const SOFTPLUS: i32 = 1;
export const REVERSE: i32 = 2;
export const CONSTANT_B: i32 = 4;
export const CONSTANT_C: i32 = 8;

// Arguments, as byte offsets of words; wasm.ts writes them in this order.
export const BATCH: usize = 0;
export const LENGTH: usize = 4;
export const CHANNELS: usize = 8;
export const STATES: usize = 12;
export const GROUPS: usize = 16;
export const FLAGS: usize = 20;
export const SPANS: usize = 24;
export const SCRATCH: usize = 28;
export const SPAN_STATES: usize = 32;
export const SEGMENT_IDS: usize = 36;
export const SEGMENTS: usize = 40;
export const U: usize = 44; // address, batch stride, row stride
export const DELTA: usize = 56;
export const Z: usize = 68;
export const B: usize = 80; // address, batch stride, row stride, group stride
export const C: usize = 96;
export const DECAY: usize = 112; // A log2(e) by quads
export const D: usize = 116;
export const DELTA_BIAS: usize = 120;
export const INITIAL: usize = 124;
export const CHUNK_STATES: usize = 128;
export const FINAL: usize = 132;
export const SEGMENT_STATES: usize = 136;
export const OWN: usize = 140; // what only forward or only backward has

/** Id of padding, and what stands for "no segment yet". */
const NO_SEGMENT: i32 = -1;

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

/** Quads a group: groups start a new quad, so that a quad has one B and one C. */
export function quadsOfGroup(args: usize): i32 {
  return (arg(args, CHANNELS) / arg(args, GROUPS) + 3) >> 2;
}

export function quadCount(args: usize): i32 {
  return quadsOfGroup(args) * arg(args, GROUPS);
}

export function groupOf(args: usize, quad: i32): i32 {
  return quad / quadsOfGroup(args);
}

/** First channel of a quad. */
export function channelOf(args: usize, quad: i32): i32 {
  const perGroup = arg(args, CHANNELS) / arg(args, GROUPS);
  const quads = quadsOfGroup(args);
  return (quad / quads) * perGroup + (quad % quads) * 4;
}

/** Channels in a quad, 1 to 4. */
export function lanesOf(args: usize, quad: i32): i32 {
  const perGroup = arg(args, CHANNELS) / arg(args, GROUPS);
  return min(4, perGroup - (quad % quadsOfGroup(args)) * 4);
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

/** Address of a row of a strided input for a batch and a time. */
// @ts-ignore: decorator
@inline
export function rowOf(args: usize, input: usize, batch: i32, time: i32): usize {
  return pointer(args, input) + batch * arg(args, input + 4) + time * arg(args, input + 8);
}

/** Time of the i-th step in the direction of the scan. */
// @ts-ignore: decorator
@inline
export function timeOf(args: usize, i: i32): i32 {
  return arg(args, FLAGS) & REVERSE ? arg(args, LENGTH) - 1 - i : i;
}

/** Segment of the i-th step; 0 where sequences are not packed. */
// @ts-ignore: decorator
@inline
export function segmentAt(args: usize, batch: i32, i: i32): i32 {
  const ids = pointer(args, SEGMENT_IDS);
  return ids == 0 ? 0 : load<i32>(ids + ((batch * arg(args, LENGTH) + timeOf(args, i)) << 2));
}

/** Segment of the last step before the i-th that is not padding; -1 if there is none. */
export function segmentBefore(args: usize, batch: i32, i: i32): i32 {
  if (pointer(args, SEGMENT_IDS) == 0) return i > 0 ? 0 : NO_SEGMENT;
  for (let k = i - 1; k >= 0; k--) {
    const id = segmentAt(args, batch, k);
    if (id >= 0) return id;
  }
  return NO_SEGMENT;
}

/** First step of a span; spans are whole chunks. */
export function spanStart(args: usize, span: i32): i32 {
  const chunks = (arg(args, LENGTH) + CHUNK - 1) / CHUNK;
  return min(arg(args, LENGTH), ((span * chunks) / arg(args, SPANS)) * CHUNK);
}

/** Copies the lanes of a state [channels states] into vectors [states][4]; zeros if there is none. */
export function gatherState(to: usize, from: usize, states: i32, lanes: i32): void {
  memory.fill(to, 0, states << 4);
  if (from == 0) return;
  for (let lane = 0; lane < lanes; lane++) {
    for (let n = 0; n < states; n++) {
      store<f32>(to + (n << 4) + (lane << 2), load<f32>(from + ((lane * states + n) << 2)));
    }
  }
}

/** The way back. */
export function scatterState(to: usize, from: usize, states: i32, lanes: i32): void {
  for (let lane = 0; lane < lanes; lane++) {
    for (let n = 0; n < states; n++) {
      store<f32>(to + ((lane * states + n) << 2), load<f32>(from + (n << 4) + (lane << 2)));
    }
  }
}

/** Address of a quad in a dense [batch ... channels states], or 0. */
export function stateAddress(args: usize, base: usize, row: i32, quad: i32): usize {
  if (base == 0) return 0;
  return base + <usize>(((row * arg(args, CHANNELS) + channelOf(args, quad)) * arg(args, STATES)) << 2);
}
