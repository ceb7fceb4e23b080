// Causal depthwise convolution, forward.
import { silu } from "../../backends/wasm/assembly/math.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd } from "../../backends/wasm/assembly/simd.as";
import {
  arg, BATCH, biasOf, BLOCK, CHANNELS, denseAt, directionOf, enter, frameOf, isActivated, isPacked, isPadding,
  LENGTH, loadHistory, loadLanes, loadWeights, OWN, pointer, quadsOf, rowAt, samplesOf, segmentAt, shift, storeLanes,
  storeState, TILE, tilesOf, WINDOW, X,
} from "./common.as";

const Y: usize = OWN;
const FINAL: usize = OWN + 4;

/** Steps of a tile for any window, the samples in the frame. */
function anySteps(
  args: usize, batch: i32, channel: i32, lanes: i32, frame: usize, first: i32, end: i32, segment: i32,
): void {
  const window = arg(args, WINDOW);
  const activated = isActivated(args);
  const samples = samplesOf(args, frame);
  const bias = v128.load(biasOf(args, frame));
  for (let i = first; i < end; i++) {
    const to = denseAt(args, pointer(args, Y), batch, i, channel);
    const id = segmentAt(args, batch, i);
    if (id < 0) {
      storeLanes(to, f32x4.splat(0), lanes);
      continue;
    }
    if (segment >= 0 && id != segment) memory.fill(samples, 0, <usize>window << 4);
    segment = id;
    const s = enter(frame, samples, window, bias, loadLanes(rowAt(args, X, batch, i, channel), lanes));
    storeLanes(to, activated ? silu(s) : s, lanes);
    shift(samples, window);
  }
}

/** The same for a window of 4, the samples in registers. */
function fourSteps(
  args: usize, batch: i32, channel: i32, lanes: i32, frame: usize, first: i32, end: i32, segment: i32,
): void {
  const activated = isActivated(args);
  const packed = isPacked(args);
  const w0 = v128.load(frame);
  const w1 = v128.load(frame, 16);
  const w2 = v128.load(frame, 32);
  const w3 = v128.load(frame, 48);
  const bias = v128.load(biasOf(args, frame));
  const samples = samplesOf(args, frame);
  let h0 = v128.load(samples);
  let h1 = v128.load(samples, 16);
  let h2 = v128.load(samples, 32);
  let from = rowAt(args, X, batch, first, channel);
  let to = denseAt(args, pointer(args, Y), batch, first, channel);
  const fromStep = <usize>(directionOf(args) * arg(args, X + 8));
  const toStep = <usize>(directionOf(args) * (arg(args, CHANNELS) << 2));
  for (let i = first; i < end; i++, from += fromStep, to += toStep) {
    if (packed) {
      const id = segmentAt(args, batch, i);
      if (id < 0) {
        storeLanes(to, f32x4.splat(0), lanes);
        continue;
      }
      if (segment >= 0 && id != segment) h0 = h1 = h2 = f32x4.splat(0);
      segment = id;
    }
    const x = loadLanes(from, lanes);
    let s = madd(w2, h2, madd(w1, h1, madd(w0, h0, bias)));
    s = madd(w3, x, s);
    storeLanes(to, activated ? silu(s) : s, lanes);
    h0 = h1;
    h1 = h2;
    h2 = x;
  }
}

/** Zeros for steps that are padding. */
function clear(args: usize, batch: i32, channel: i32, lanes: i32, first: i32, end: i32): void {
  for (let i = first; i < end; i++) {
    storeLanes(denseAt(args, pointer(args, Y), batch, i, channel), f32x4.splat(0), lanes);
  }
}

/** One block of channels of one tile; with the last tile the final state. */
function forwardTile(args: usize, batch: i32, tile: i32, firstQuad: i32, frame: usize): void {
  const first = tile * TILE;
  const end = min(first + TILE, arg(args, LENGTH));
  const padding = isPacked(args) && isPadding(args, batch, first, end);
  const endQuad = min(firstQuad + BLOCK, quadsOf(args));
  for (let quad = firstQuad; quad < endQuad; quad++) {
    const channel = quad << 2;
    const lanes = min(4, arg(args, CHANNELS) - channel);
    const samples = samplesOf(args, frame);
    if (padding) clear(args, batch, channel, lanes, first, end);
    else {
      loadWeights(args, channel, lanes, frame);
      const segment = loadHistory(args, batch, channel, lanes, first, samples);
      if (arg(args, WINDOW) == 4) fourSteps(args, batch, channel, lanes, frame, first, end, segment);
      else anySteps(args, batch, channel, lanes, frame, first, end, segment);
    }
    if (end < arg(args, LENGTH)) continue;
    loadHistory(args, batch, channel, lanes, end, samples);
    storeState(args, pointer(args, FINAL), batch, channel, lanes, samples);
  }
}

/** y and final state of the convolution. */
export function causalConvForward(args: usize, thread: i32, threads: i32): void {
  const blocks = (quadsOf(args) + BLOCK - 1) / BLOCK;
  const tiles = tilesOf(args);
  const items = arg(args, BATCH) * tiles * blocks;
  const end = partStart(items, thread + 1, threads);
  for (let item = partStart(items, thread, threads); item < end; item++) {
    const row = item / blocks;
    forwardTile(args, row / tiles, row % tiles, (item % blocks) * BLOCK, frameOf(args, thread));
  }
}
