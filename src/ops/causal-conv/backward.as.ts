// Causal depthwise convolution, backward. A tile goes forward in time for the slopes ds, the gradients before the
// activation, then backward for what each sample gets from the outputs that saw it.
import { barrier } from "../../backends/wasm/assembly/barrier.as";
import { siluDerivative } from "../../backends/wasm/assembly/math.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd } from "../../backends/wasm/assembly/simd.as";
import {
  arg, BATCH, biasOf, BLOCK, CHANNELS, denseAt, directionOf, enter, frameOf, gradientsOf, haloOf, isActivated, isPacked,
  isPadding, kindsOf, LENGTH, loadHistory, loadLanes, loadWeights, OWN, pointer, quadsOf, rowAt, samplesOf, segmentAt,
  shift, slopesOf, stateRow, storeLanes, storeState, TILE, tilesOf, WINDOW, X,
} from "./common.as";
import { reduceQuad, SPANS, sumsOf } from "./sums.as";

const DY: usize = OWN; // address, batch stride, row stride
const D_FINAL: usize = OWN + 12;
const D_X: usize = OWN + 16;
const D_INITIAL: usize = OWN + 28;

// What a step is.
const GOES_ON: i32 = 0;
const PADDING: i32 = 1;
const STARTS: i32 = 2;

/** ds of the i-th step, given the value before the activation. */
// @ts-ignore: decorator
@inline
function slopeAt(args: usize, batch: i32, i: i32, channel: i32, lanes: i32, s: v128): v128 {
  if (pointer(args, DY) == 0) return f32x4.splat(0);
  const dy = loadLanes(rowAt(args, DY, batch, i, channel), lanes);
  return isActivated(args) ? f32x4.mul(dy, siluDerivative(s)) : dy;
}

/** Slopes of a tile for any window; returns the segment after it. */
function anySlopes(
  args: usize, batch: i32, channel: i32, lanes: i32, frame: usize, first: i32, end: i32, sums: usize, segment: i32,
): i32 {
  const window = arg(args, WINDOW);
  const samples = samplesOf(args, frame);
  const bias = v128.load(biasOf(args, frame));
  for (let i = first; i < end; i++) {
    const id = segmentAt(args, batch, i);
    const kind = id < 0 ? PADDING : segment >= 0 && id != segment ? STARTS : GOES_ON;
    store<i32>(kindsOf(args, frame) + (<usize>(i - first) << 2), kind);
    if (kind == PADDING) continue;
    if (kind == STARTS) memory.fill(samples, 0, <usize>window << 4);
    segment = id;
    const s = enter(frame, samples, window, bias, loadLanes(rowAt(args, X, batch, i, channel), lanes));
    const ds = slopeAt(args, batch, i, channel, lanes, s);
    v128.store(slopesOf(args, frame) + (<usize>(i - first) << 4), ds);
    for (let k = 0; k < window; k++) {
      const at = <usize>k << 4;
      v128.store(sums + at, madd(ds, v128.load(samples + at), v128.load(sums + at)));
    }
    const last = sums + (<usize>window << 4);
    v128.store(last, f32x4.add(v128.load(last), ds));
    shift(samples, window);
  }
  return segment;
}

/** The same for a window of 4, in registers. */
function fourSlopes(
  args: usize, batch: i32, channel: i32, lanes: i32, frame: usize, first: i32, end: i32, sums: usize, segment: i32,
): i32 {
  const packed = isPacked(args);
  const samples = samplesOf(args, frame);
  const bias = v128.load(biasOf(args, frame));
  const w0 = v128.load(frame);
  const w1 = v128.load(frame, 16);
  const w2 = v128.load(frame, 32);
  const w3 = v128.load(frame, 48);
  let h0 = v128.load(samples);
  let h1 = v128.load(samples, 16);
  let h2 = v128.load(samples, 32);
  let sum0 = v128.load(sums);
  let sum1 = v128.load(sums, 16);
  let sum2 = v128.load(sums, 32);
  let sum3 = v128.load(sums, 48);
  let sum = v128.load(sums, 64);
  let from = rowAt(args, X, batch, first, channel);
  const fromStep = <usize>(directionOf(args) * arg(args, X + 8));
  const kinds = kindsOf(args, frame);
  const slopes = slopesOf(args, frame);
  for (let i = first; i < end; i++, from += fromStep) {
    if (packed) {
      const id = segmentAt(args, batch, i);
      const kind = id < 0 ? PADDING : segment >= 0 && id != segment ? STARTS : GOES_ON;
      store<i32>(kinds + (<usize>(i - first) << 2), kind);
      if (kind == PADDING) continue;
      if (kind == STARTS) h0 = h1 = h2 = f32x4.splat(0);
      segment = id;
    }
    const x = loadLanes(from, lanes);
    const s = madd(w3, x, madd(w2, h2, madd(w1, h1, madd(w0, h0, bias))));
    const ds = slopeAt(args, batch, i, channel, lanes, s);
    v128.store(slopes + (<usize>(i - first) << 4), ds);
    sum0 = madd(ds, h0, sum0);
    sum1 = madd(ds, h1, sum1);
    sum2 = madd(ds, h2, sum2);
    sum3 = madd(ds, x, sum3);
    sum = f32x4.add(sum, ds);
    h0 = h1;
    h1 = h2;
    h2 = x;
  }
  v128.store(samples, h0);
  v128.store(samples, h1, 16);
  v128.store(samples, h2, 32);
  v128.store(sums, sum0);
  v128.store(sums, sum1, 16);
  v128.store(sums, sum2, 32);
  v128.store(sums, sum3, 48);
  v128.store(sums, sum, 64);
  return segment;
}

/** What a step passes on to the gradients of the samples before it. */
// @ts-ignore: decorator
@inline
function passOn(frame: usize, g: usize, window: i32, ds: v128): void {
  for (let k = window - 2; k >= 0; k--) {
    const place = <usize>k << 4;
    const older = k > 0 ? v128.load(g + place - 16) : f32x4.splat(0);
    v128.store(g + place, madd(v128.load(frame + place), ds, older));
  }
}

/** Gradients of the samples in the state at the end of a tile, from the steps after it that see them. */
function loadGradients(
  args: usize, batch: i32, channel: i32, lanes: i32, frame: usize, end: i32, segment: i32,
): void {
  const window = arg(args, WINDOW);
  const g = gradientsOf(args, frame);
  const halo = haloOf(args, frame);
  const samples = samplesOf(args, frame);
  const bias = v128.load(biasOf(args, frame));
  memory.fill(g, 0, <usize>window << 4);
  let count = 0;
  let i = end;
  let ends = false;
  for (; i < arg(args, LENGTH) && count < window - 1; i++) {
    const id = segmentAt(args, batch, i);
    if (id < 0) continue;
    ends = segment >= 0 && id != segment;
    if (ends) break;
    segment = id;
    const s = enter(frame, samples, window, bias, loadLanes(rowAt(args, X, batch, i, channel), lanes));
    v128.store(halo + (<usize>count << 4), slopeAt(args, batch, i, channel, lanes, s));
    shift(samples, window);
    count++;
  }
  if (!ends && count < window - 1 && pointer(args, D_FINAL) != 0) {
    for (let k = 0; k < window - 1; k++) {
      const from = stateRow(args, pointer(args, D_FINAL), batch, k, channel);
      v128.store(g + (<usize>k << 4), loadLanes(from, lanes));
    }
  }
  while (--count >= 0) passOn(frame, g, window, v128.load(halo + (<usize>count << 4)));
}

/** dx of a tile for any window. */
function anySweep(args: usize, batch: i32, channel: i32, lanes: i32, frame: usize, first: i32, end: i32): void {
  const window = arg(args, WINDOW);
  const g = gradientsOf(args, frame);
  const newest = <usize>(window - 1) << 4;
  for (let i = end - 1; i >= first; i--) {
    const to = denseAt(args, pointer(args, D_X), batch, i, channel);
    const kind = load<i32>(kindsOf(args, frame) + (<usize>(i - first) << 2));
    if (kind == PADDING) {
      storeLanes(to, f32x4.splat(0), lanes);
      continue;
    }
    const ds = v128.load(slopesOf(args, frame) + (<usize>(i - first) << 4));
    const carried = window > 1 ? v128.load(g + newest - 16) : f32x4.splat(0);
    storeLanes(to, madd(v128.load(frame + newest), ds, carried), lanes);
    if (kind == STARTS) memory.fill(g, 0, <usize>window << 4);
    else passOn(frame, g, window, ds);
  }
}

/** The same for a window of 4, in registers. */
function fourSweep(args: usize, batch: i32, channel: i32, lanes: i32, frame: usize, first: i32, end: i32): void {
  const packed = isPacked(args);
  const g = gradientsOf(args, frame);
  const w0 = v128.load(frame);
  const w1 = v128.load(frame, 16);
  const w2 = v128.load(frame, 32);
  const w3 = v128.load(frame, 48);
  let g0 = v128.load(g);
  let g1 = v128.load(g, 16);
  let g2 = v128.load(g, 32);
  const kinds = kindsOf(args, frame);
  const slopes = slopesOf(args, frame);
  let to = denseAt(args, pointer(args, D_X), batch, end - 1, channel);
  const toStep = <usize>(directionOf(args) * (arg(args, CHANNELS) << 2));
  for (let i = end - 1; i >= first; i--, to -= toStep) {
    const kind = packed ? load<i32>(kinds + (<usize>(i - first) << 2)) : GOES_ON;
    if (kind == PADDING) {
      storeLanes(to, f32x4.splat(0), lanes);
      continue;
    }
    const ds = v128.load(slopes + (<usize>(i - first) << 4));
    storeLanes(to, madd(w3, ds, g2), lanes);
    if (kind == STARTS) g0 = g1 = g2 = f32x4.splat(0);
    else {
      g2 = madd(w2, ds, g1);
      g1 = madd(w1, ds, g0);
      g0 = f32x4.mul(w0, ds);
    }
  }
  v128.store(g, g0);
  v128.store(g, g1, 16);
  v128.store(g, g2, 32);
}

/** A quad of a tile. */
function backwardQuad(args: usize, batch: i32, channel: i32, frame: usize, first: i32, end: i32, sums: usize): void {
  const lanes = min(4, arg(args, CHANNELS) - channel);
  const four = arg(args, WINDOW) == 4;
  loadWeights(args, channel, lanes, frame);
  let segment = loadHistory(args, batch, channel, lanes, first, samplesOf(args, frame));
  segment = four
    ? fourSlopes(args, batch, channel, lanes, frame, first, end, sums, segment)
    : anySlopes(args, batch, channel, lanes, frame, first, end, sums, segment);
  loadGradients(args, batch, channel, lanes, frame, end, segment);
  if (four) fourSweep(args, batch, channel, lanes, frame, first, end);
  else anySweep(args, batch, channel, lanes, frame, first, end);
  if (first > 0 || pointer(args, D_INITIAL) == 0) return;
  storeState(args, pointer(args, D_INITIAL), batch, channel, lanes, gradientsOf(args, frame));
}

/** A block of channels over the tiles of a span. */
function backwardSpan(args: usize, batch: i32, span: i32, firstQuad: i32, frame: usize): void {
  const window = arg(args, WINDOW);
  const endQuad = min(firstQuad + BLOCK, quadsOf(args));
  const size = <usize>(window + 1) << 4;
  memory.fill(sumsOf(args, batch, span, firstQuad), 0, size * (endQuad - firstQuad));
  const endTile = partStart(tilesOf(args), span + 1, arg(args, SPANS));
  for (let tile = partStart(tilesOf(args), span, arg(args, SPANS)); tile < endTile; tile++) {
    const first = tile * TILE;
    const end = min(first + TILE, arg(args, LENGTH));
    if (tile > 0 && isPacked(args) && isPadding(args, batch, first, end)) {
      for (let i = first; i < end; i++) {
        const from = firstQuad << 2;
        const to = denseAt(args, pointer(args, D_X), batch, i, from);
        memory.fill(to, 0, <usize>(min(endQuad << 2, arg(args, CHANNELS)) - from) << 2);
      }
      continue;
    }
    for (let quad = firstQuad; quad < endQuad; quad++) {
      backwardQuad(args, batch, quad << 2, frame, first, end, sumsOf(args, batch, span, quad));
    }
  }
}

/** All gradients of the convolution. */
export function causalConvBackward(args: usize, thread: i32, threads: i32): void {
  const quads = quadsOf(args);
  const blocks = (quads + BLOCK - 1) / BLOCK;
  const spans = arg(args, SPANS);
  const items = arg(args, BATCH) * spans * blocks;
  const end = partStart(items, thread + 1, threads);
  for (let item = partStart(items, thread, threads); item < end; item++) {
    const row = item / blocks;
    backwardSpan(args, row / spans, row % spans, (item % blocks) * BLOCK, frameOf(args, thread));
  }
  barrier(threads);
  const quadEnd = partStart(quads, thread + 1, threads);
  for (let quad = partStart(quads, thread, threads); quad < quadEnd; quad++) reduceQuad(args, quad);
}
