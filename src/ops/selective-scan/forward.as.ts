// Forward selective scan: every thread takes blocks of 16 channels and walks them through time. Where there are too few
// blocks, time is cut into spans as well: local scans from zero, a carry over spans, a final pass.
import { decayed, decayedPair } from "../../backends/wasm/assembly/decay.as";
import { barrier } from "../../backends/wasm/assembly/barrier.as";
import { silu, softplus } from "../../backends/wasm/assembly/math.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd } from "../../backends/wasm/assembly/simd.as";
import {
  arg, B, BATCH, BLOCK, C, CHANNELS, CHUNK, CHUNK_STATES, channelOf, CONSTANT_B, CONSTANT_C, D, DECAY, DELTA,
  DELTA_BIAS, FINAL, FLAGS, gatherState, GROUPS, groupOf, INITIAL, lanesOf, LENGTH, loadLanes, OWN, pointer, quadCount,
  rowOf, scatterState, SCRATCH, segmentAt, SEGMENT_IDS, SEGMENT_STATES, segmentBefore, SEGMENTS, SOFTPLUS, SPAN_STATES,
  SPANS, spanStart, STATES, stateAddress, storeLanes, timeOf, U, Z,
} from "./scan-common.as";

const Y: usize = OWN;

// A quad's frame: states [states][4], then the sum of delta [4], the segment, and whether a segment began.
function sumOffset(states: i32): usize {
  return <usize>states << 4;
}
function segmentOffset(states: i32): usize {
  return (<usize>states << 4) + 16;
}
function resetOffset(states: i32): usize {
  return (<usize>states << 4) + 20;
}

/** Bytes of a quad's frame; wasm.ts reserves BLOCK of them a thread, and 32 bytes behind them. */
export function frameBytes(states: i32): usize {
  return (<usize>states << 4) + 32;
}

/**
 * Rewrites the [channels states] of a parameter as quads [quad][states][4], times a factor.
 * Arguments: those of the scan; OWN: from, to, factor.
 */
export function selectiveScanQuads(args: usize, thread: i32, threads: i32): void {
  const states = arg(args, STATES);
  const from = pointer(args, OWN);
  const to = pointer(args, OWN + 4);
  const factor = f32x4.splat(load<f32>(args + OWN + 8));
  const quads = quadCount(args);
  const end = partStart(quads, thread + 1, threads);
  for (let quad = partStart(quads, thread, threads); quad < end; quad++) {
    const own = to + <usize>quad * (states << 4);
    gatherState(own, from + <usize>((channelOf(args, quad) * states) << 2), states, lanesOf(args, quad));
    for (let n = 0; n < states; n++) v128.store(own + (n << 4), f32x4.mul(v128.load(own + (n << 4)), factor));
  }
}

function beginQuad(args: usize, batch: i32, quad: i32, first: i32, entry: usize, frame: usize): void {
  const states = arg(args, STATES);
  if (entry != 0) memory.copy(frame, entry, states << 4);
  else memory.fill(frame, 0, states << 4);
  v128.store(frame + sumOffset(states), f32x4.splat(0));
  store<i32>(frame + segmentOffset(states), segmentBefore(args, batch, first));
  store<i32>(frame + resetOffset(states), 0);
}

/** Enters the segment of a step; false for padding. A segment that follows another starts from zero. */
function enterSegment(args: usize, batch: i32, quad: i32, id: i32, frame: usize, write: bool): bool {
  if (id < 0) return false;
  const states = arg(args, STATES);
  const previous = load<i32>(frame + segmentOffset(states));
  if (previous == id) return true;
  store<i32>(frame + segmentOffset(states), id);
  if (previous < 0) return true;
  if (write) saveSegment(args, batch, quad, previous, frame);
  memory.fill(frame, 0, states << 4);
  store<i32>(frame + resetOffset(states), 1);
  return true;
}

function saveSegment(args: usize, batch: i32, quad: i32, segment: i32, frame: usize): void {
  const base = pointer(args, SEGMENT_STATES);
  const segments = arg(args, SEGMENTS);
  if (base == 0 || segment < 0 || segment >= segments) return;
  scatterState(stateAddress(args, base, batch * segments + segment, quad), frame, arg(args, STATES), lanesOf(args, quad));
}

/** h = exp(delta A) h + delta B u; returns C h. Rows of B and C are of scalars, or of vectors where constant. */
// @ts-ignore: decorator
@inline
function updateStates(
  h: usize, decay: usize, states: i32, delta: v128, x: v128,
  rowB: usize, constantB: bool, rowC: usize, constantC: bool,
): v128 {
  let y = f32x4.splat(0);
  for (let n = 0; n < states; n++) {
    const at = <usize>n << 4;
    const b = constantB ? v128.load(rowB + at) : v128.load32_splat(rowB + (n << 2));
    const c = constantC ? v128.load(rowC + at) : v128.load32_splat(rowC + (n << 2));
    const next = decayed(f32x4.mul(delta, v128.load(decay + at)), v128.load(h + at), f32x4.mul(x, b));
    v128.store(h + at, next);
    y = madd(c, next, y);
  }
  return y;
}

/** Walks a quad over steps [from, to). */
function walk(args: usize, batch: i32, quad: i32, from: i32, to: i32, frame: usize, write: bool): void {
  const states = arg(args, STATES);
  const flags = arg(args, FLAGS);
  const lanes = lanesOf(args, quad);
  const offset = <usize>channelOf(args, quad) << 2;
  const group = groupOf(args, quad);
  const perQuad = <usize>quad * (states << 4);
  const decay = pointer(args, DECAY) + perQuad;
  const constantB = (flags & CONSTANT_B) != 0;
  const constantC = (flags & CONSTANT_C) != 0;
  const skipAt = pointer(args, D);
  const biasAt = pointer(args, DELTA_BIAS);
  const skip = skipAt == 0 ? f32x4.splat(0) : loadLanes(skipAt + offset, lanes);
  const bias = biasAt == 0 ? f32x4.splat(0) : loadLanes(biasAt + offset, lanes);
  const gated = pointer(args, Z) != 0;
  const packed = pointer(args, SEGMENT_IDS) != 0;
  const output = pointer(args, Y) + offset;
  const rowBytes = <usize>arg(args, CHANNELS) << 2;
  let sum = v128.load(frame + sumOffset(states));
  for (let i = from; i < to; i++) {
    const time = timeOf(args, i);
    const yAt = output + <usize>(batch * arg(args, LENGTH) + time) * rowBytes;
    if (packed && !enterSegment(args, batch, quad, segmentAt(args, batch, i), frame, write)) {
      if (write) storeLanes(yAt, f32x4.splat(0), lanes);
      continue;
    }
    const u = loadLanes(rowOf(args, U, batch, time) + offset, lanes);
    let delta = f32x4.add(loadLanes(rowOf(args, DELTA, batch, time) + offset, lanes), bias);
    if (flags & SOFTPLUS) delta = softplus(delta);
    const rowB = constantB ? pointer(args, B) + perQuad : rowOf(args, B, batch, time) + group * arg(args, B + 12);
    const rowC = constantC ? pointer(args, C) + perQuad : rowOf(args, C, batch, time) + group * arg(args, C + 12);
    const x = f32x4.mul(delta, u);
    let y = constantB || constantC
      ? updateStates(frame, decay, states, delta, x, rowB, constantB, rowC, constantC)
      : updateStates(frame, decay, states, delta, x, rowB, false, rowC, false);
    if (write) {
      y = madd(skip, u, y);
      if (gated) y = f32x4.mul(y, silu(loadLanes(rowOf(args, Z, batch, time) + offset, lanes)));
      storeLanes(yAt, y, lanes);
    } else sum = f32x4.add(sum, delta);
  }
  v128.store(frame + sumOffset(states), sum);
}

/** Whether {@link walkPair} may take a quad and the next one together. */
function isPair(args: usize, quad: i32, last: i32): bool {
  if (quad + 1 >= last || (arg(args, FLAGS) & (CONSTANT_B | CONSTANT_C)) != 0 || pointer(args, SEGMENT_IDS) != 0) return false;
  return lanesOf(args, quad) == 4 && lanesOf(args, quad + 1) == 4 && groupOf(args, quad) == groupOf(args, quad + 1);
}

/**
 * The states of two quads side by side: the factors of the exponential are loaded once for both, and two chains of dependent
 * operations are under way. The bits are those of {@link updateStates}. Leaves C h of both at `sums`.
 */
// @ts-ignore: decorator
@inline
function updatePair(
  h: usize, other: usize, decay: usize, states: i32, delta0: v128, delta1: v128, x0: v128, x1: v128, rowB: usize, rowC: usize,
  sums: usize,
): void {
  let y0 = f32x4.splat(0);
  let y1 = f32x4.splat(0);
  const decay1 = decay + (<usize>states << 4);
  const end = <usize>states << 4;
  for (let at: usize = 0; at < end; at += 16) {
    const b = v128.load32_splat(rowB + (at >> 2));
    const c = v128.load32_splat(rowC + (at >> 2));
    decayedPair(
      f32x4.mul(delta0, v128.load(decay + at)), f32x4.mul(delta1, v128.load(decay1 + at)), h + at, other + at,
      f32x4.mul(x0, b), f32x4.mul(x1, b),
    );
    y0 = madd(c, v128.load(h + at), y0);
    y1 = madd(c, v128.load(other + at), y1);
  }
  v128.store(sums, y0);
  v128.store(sums, y1, 16);
}

/** As {@link walk}, for two quads of four channels each of one group, without segments; `sums` is 32 bytes of scratch. */
function walkPair(
  args: usize, batch: i32, quad: i32, from: i32, to: i32, frame: usize, sums: usize, write: bool,
): void {
  const states = arg(args, STATES);
  const isSoft = (arg(args, FLAGS) & SOFTPLUS) != 0;
  const other = frame + frameBytes(states);
  const offset = <usize>channelOf(args, quad) << 2;
  const group = groupOf(args, quad);
  const decay = pointer(args, DECAY) + <usize>quad * (states << 4);
  const skipAt = pointer(args, D);
  const biasAt = pointer(args, DELTA_BIAS);
  const gated = pointer(args, Z) != 0;
  const output = pointer(args, Y) + offset;
  const rowBytes = <usize>arg(args, CHANNELS) << 2;
  const none = f32x4.splat(0);
  const skip0 = skipAt == 0 ? none : v128.load(skipAt + offset);
  const skip1 = skipAt == 0 ? none : v128.load(skipAt + offset, 16);
  const bias0 = biasAt == 0 ? none : v128.load(biasAt + offset);
  const bias1 = biasAt == 0 ? none : v128.load(biasAt + offset, 16);
  const sumAt = frame + sumOffset(states);
  const otherSumAt = other + sumOffset(states);
  for (let i = from; i < to; i++) {
    const time = timeOf(args, i);
    const uAt = rowOf(args, U, batch, time) + offset;
    const deltaAt = rowOf(args, DELTA, batch, time) + offset;
    let delta0 = f32x4.add(v128.load(deltaAt), bias0);
    let delta1 = f32x4.add(v128.load(deltaAt, 16), bias1);
    if (isSoft) {
      delta0 = softplus(delta0);
      delta1 = softplus(delta1);
    }
    const rowB = rowOf(args, B, batch, time) + group * arg(args, B + 12);
    const rowC = rowOf(args, C, batch, time) + group * arg(args, C + 12);
    const x0 = f32x4.mul(delta0, v128.load(uAt));
    const x1 = f32x4.mul(delta1, v128.load(uAt, 16));
    updatePair(frame, other, decay, states, delta0, delta1, x0, x1, rowB, rowC, sums);
    if (write) {
      const yAt = output + <usize>(batch * arg(args, LENGTH) + time) * rowBytes;
      let y0 = madd(skip0, v128.load(uAt), v128.load(sums));
      let y1 = madd(skip1, v128.load(uAt, 16), v128.load(sums, 16));
      if (gated) {
        const zAt = rowOf(args, Z, batch, time) + offset;
        y0 = f32x4.mul(y0, silu(v128.load(zAt)));
        y1 = f32x4.mul(y1, silu(v128.load(zAt, 16)));
      }
      v128.store(yAt, y0);
      v128.store(yAt, y1, 16);
    } else {
      v128.store(sumAt, f32x4.add(v128.load(sumAt), delta0));
      v128.store(otherSumAt, f32x4.add(v128.load(otherSumAt), delta1));
    }
  }
}

/** Saves the state at the entry of the chunk that begins with step `first`. */
function saveChunk(args: usize, batch: i32, quad: i32, first: i32, frame: usize): void {
  const base = pointer(args, CHUNK_STATES);
  if (base == 0) return;
  const chunks = (arg(args, LENGTH) + CHUNK - 1) / CHUNK;
  scatterState(
    stateAddress(args, base, batch * chunks + first / CHUNK, quad), frame, arg(args, STATES), lanesOf(args, quad),
  );
}

function finish(args: usize, batch: i32, quad: i32, frame: usize): void {
  const states = arg(args, STATES);
  scatterState(stateAddress(args, pointer(args, FINAL), batch, quad), frame, states, lanesOf(args, quad));
  saveSegment(args, batch, quad, load<i32>(frame + segmentOffset(states)), frame);
}

/** Place of a quad's state at the entry of a span, with the sum of delta and the reset flag behind it. */
function spanFrame(args: usize, batch: i32, quad: i32, span: i32): usize {
  const row = (batch * quadCount(args) + quad) * arg(args, SPANS) + span;
  return pointer(args, SPAN_STATES) + <usize>row * frameBytes(arg(args, STATES));
}

/** Walks a block of quads over a span, chunk by chunk. */
function walkBlock(args: usize, batch: i32, block: i32, span: i32, frames: usize, write: bool): void {
  const states = arg(args, STATES);
  const first = block * BLOCK;
  const last = min(first + BLOCK, quadCount(args));
  const sums = frames + <usize>BLOCK * frameBytes(states);
  const start = spanStart(args, span);
  const end = spanStart(args, span + 1);
  const spans = arg(args, SPANS);
  for (let quad = first; quad < last; quad++) {
    const frame = frames + <usize>(quad - first) * frameBytes(states);
    beginQuad(args, batch, quad, start, write && spans > 1 ? spanFrame(args, batch, quad, span) : 0, frame);
    if (spans == 1) {
      gatherState(frame, stateAddress(args, pointer(args, INITIAL), batch, quad), states, lanesOf(args, quad));
    }
  }
  for (let chunk = start; chunk < end; chunk += CHUNK) {
    for (let quad = first; quad < last; quad++) {
      const frame = frames + <usize>(quad - first) * frameBytes(states);
      if (write) saveChunk(args, batch, quad, chunk, frame);
      if (isPair(args, quad, last)) {
        const next = frame + frameBytes(states);
        if (write) saveChunk(args, batch, quad + 1, chunk, next);
        walkPair(args, batch, quad, chunk, min(chunk + CHUNK, end), frame, sums, write);
        quad++;
      } else walk(args, batch, quad, chunk, min(chunk + CHUNK, end), frame, write);
    }
  }
  for (let quad = first; quad < last; quad++) {
    const frame = frames + <usize>(quad - first) * frameBytes(states);
    if (!write) memory.copy(spanFrame(args, batch, quad, span), frame, frameBytes(states));
    else if (span == spans - 1) finish(args, batch, quad, frame);
  }
}

/** Turns the local results of spans into the states at their entries. */
function carry(args: usize, batch: i32, quad: i32, frame: usize): void {
  const states = arg(args, STATES);
  const decay = pointer(args, DECAY) + <usize>quad * (states << 4);
  gatherState(frame, stateAddress(args, pointer(args, INITIAL), batch, quad), states, lanesOf(args, quad));
  for (let span = 0; span < arg(args, SPANS); span++) {
    const local = spanFrame(args, batch, quad, span);
    const sum = v128.load(local + sumOffset(states));
    const reset = load<i32>(local + resetOffset(states)) != 0;
    for (let n = 0; n < states; n++) {
      const at = <usize>n << 4;
      const own = v128.load(local + at);
      const entry = v128.load(frame + at);
      v128.store(local + at, entry);
      v128.store(frame + at, reset ? own : decayed(f32x4.mul(sum, v128.load(decay + at)), entry, own));
    }
  }
}

/** y and states of the selective scan. Arguments: scan-common.as.ts; OWN: y. */
export function selectiveScanForward(args: usize, thread: i32, threads: i32): void {
  const quads = quadCount(args);
  const blocks = (quads + BLOCK - 1) / BLOCK;
  const spans = arg(args, SPANS);
  const frames = pointer(args, SCRATCH) + <usize>thread * (<usize>BLOCK * frameBytes(arg(args, STATES)) + 32);
  const items = arg(args, BATCH) * blocks * spans;
  const start = partStart(items, thread, threads);
  const end = partStart(items, thread + 1, threads);
  if (spans > 1) {
    for (let item = start; item < end; item++) {
      walkBlock(args, item / spans / blocks, (item / spans) % blocks, item % spans, frames, false);
    }
    barrier(threads);
    const rows = arg(args, BATCH) * quads;
    const rowEnd = partStart(rows, thread + 1, threads);
    for (let row = partStart(rows, thread, threads); row < rowEnd; row++) carry(args, row / quads, row % quads, frames);
    barrier(threads);
  }
  for (let item = start; item < end; item++) {
    walkBlock(args, item / spans / blocks, (item / spans) % blocks, item % spans, frames, true);
  }
}
