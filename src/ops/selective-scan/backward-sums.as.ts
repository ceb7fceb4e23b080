// Sums of the backward selective scan: over the channels of a step, then over slices of channels, and over batch and time.
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { accumulate } from "./adjoint.as";
import {
  arg, BATCH, channelOf, CONSTANT_B, CONSTANT_C, FLAGS, GROUPS, lanesOf, LENGTH, OWN, pointer, quadCount, scatterState, SPANS,
  STATES, stateAddress, storeLanes,
} from "./scan-common.as";

/** [batch spans quads] frames of what is summed over time. */
export const SUMS: usize = OWN + 44;
export const SLICES: usize = OWN + 48;
const D_A: usize = OWN + 52;
export const D_B: usize = OWN + 56;
export const D_C: usize = OWN + 60;
const D_SKIP: usize = OWN + 64;
const D_BIAS: usize = OWN + 68;

// A frame of sums: dA, dB, dC, each [states][4], then dD [4] and d(delta bias) [4].
export function sumsBytes(states: i32): usize {
  return (<usize>states << 4) * 3 + 32;
}

/** Adds to each of `states` floats the sum over channels of its vector, four at a time. */
// @ts-ignore: decorator
@inline
export function addLaneSums(to: usize, from: usize, states: i32): void {
  let n = 0;
  for (; n + 4 <= states; n += 4) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    const c = v128.load(from, 32);
    const d = v128.load(from, 48);
    // halves of two vectors side by side, then quarters of four
    const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
    const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
    const sums = f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
    v128.store(to, f32x4.add(v128.load(to), sums));
    from += 64;
    to += 16;
  }
  for (; n < states; n++) {
    addLanes(to, v128.load(from));
    from += 16;
    to += 4;
  }
}

/** Adds the sum over channels of a vector to a partial gradient. */
// @ts-ignore: decorator
@inline
function addLanes(to: usize, value: v128): void {
  const pairs = f32x4.add(value, i8x16.shuffle(value, value, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  store<f32>(to, load<f32>(to) + (f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1)));
}

/** Sum of the slices' partial gradients, in the order of the slices. */
export function reducePartials(args: usize, partial: usize, to: usize, thread: i32, threads: i32): void {
  const size = arg(args, BATCH) * arg(args, LENGTH) * arg(args, GROUPS) * arg(args, STATES);
  const slices = arg(args, SLICES);
  const end = partStart(size, thread + 1, threads);
  for (let i = partStart(size, thread, threads); i < end; i++) {
    let sum: f32 = 0;
    for (let slice = 0; slice < slices; slice++) sum += load<f32>(partial + ((<usize>slice * size + i) << 2));
    store<f32>(to + (<usize>i << 2), sum);
  }
}

/** Sums what was summed over time also over batch and spans. */
export function reduceSums(args: usize, quad: i32, total: usize): void {
  const states = arg(args, STATES);
  const quads = quadCount(args);
  const bytes = sumsBytes(states);
  const lanes = lanesOf(args, quad);
  const offset = <usize>channelOf(args, quad) << 2;
  memory.fill(total, 0, bytes);
  const rows = arg(args, BATCH) * arg(args, SPANS);
  for (let row = 0; row < rows; row++) {
    const own = pointer(args, SUMS) + <usize>(row * quads + quad) * bytes;
    for (let at: usize = 0; at < bytes; at += 16) accumulate(total + at, v128.load(own + at));
  }
  const width = <usize>states << 4;
  scatterState(stateAddress(args, pointer(args, D_A), 0, quad), total, states, lanes);
  if (arg(args, FLAGS) & CONSTANT_B) {
    scatterState(stateAddress(args, pointer(args, D_B), 0, quad), total + width, states, lanes);
  }
  if (arg(args, FLAGS) & CONSTANT_C) {
    scatterState(stateAddress(args, pointer(args, D_C), 0, quad), total + 2 * width, states, lanes);
  }
  if (pointer(args, D_SKIP) != 0) storeLanes(pointer(args, D_SKIP) + offset, v128.load(total + 3 * width), lanes);
  if (pointer(args, D_BIAS) != 0) storeLanes(pointer(args, D_BIAS) + offset, v128.load(total + 3 * width + 16), lanes);
}
