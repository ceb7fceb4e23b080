// Backward selective scan: the states of a chunk are computed again from its saved entry, then the adjoint is swept
// back through it.
import { bounded, decayed } from "../../backends/wasm/assembly/decay.as";
import { barrier } from "../../backends/wasm/assembly/barrier.as";
import { exp2Fraction, expm1, power, rounded, sigmoid, wholePart } from "../../backends/wasm/assembly/math.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd } from "../../backends/wasm/assembly/simd.as";
import {
  accumulate, beginsSegment, carryBack, coefficient, deltaAt, DY, enterSegmentBefore, lastAdjoint, rowFor, spanFrame,
  sweepAlone, ungated,
} from "./adjoint.as";
import { addLaneSums, D_B, D_C, reducePartials, reduceSums, SLICES, SUMS, sumsBytes } from "./backward-sums.as";
import {
  arg, B, BATCH, C, CHANNELS, CHUNK, CHUNK_STATES, channelOf, CONSTANT_B, CONSTANT_C, D, DECAY, FLAGS,
  gatherState, GROUPS, groupOf, lanesOf, LENGTH, loadLanes, OWN, pointer, quadCount, REVERSE, rowOf, scatterState,
  SCRATCH, segmentAt, segmentBefore, SOFTPLUS, SPANS, spanStart, STATES, stateAddress, storeLanes, timeOf, U, Z,
} from "./scan-common.as";

const D_U: usize = OWN + 20;
const D_DELTA: usize = OWN + 24;
const D_Z: usize = OWN + 28;
const D_INITIAL: usize = OWN + 32;
/** [slices] [batch length groups states]: B's, then C's gradient, of a slice of channels. */
const PARTIAL_B: usize = OWN + 36;
const PARTIAL_C: usize = OWN + 40;

const LN2: f32 = 0.6931471805599453;

// A thread's memory: the adjoint, the state, the products for dB and for dC, each [states][4], then for every step of a
// chunk delta [4] and the state before it, then the sums of a chunk.
function stepBytes(states: i32): usize {
  return (<usize>states << 4) + 16;
}

/** Bytes that a thread works in; wasm.ts reserves them. */
export function backwardBytes(states: i32): usize {
  return (<usize>states << 4) * 4 + 32 + <usize>CHUNK * stepBytes(states) + sumsBytes(states);
}

/** Computes the states before every step of a chunk again, with their steps' delta. */
function replay(args: usize, batch: i32, quad: i32, from: i32, to: i32, steps: usize, state: usize): void {
  const states = arg(args, STATES);
  const lanes = lanesOf(args, quad);
  const offset = <usize>channelOf(args, quad) << 2;
  const decay = pointer(args, DECAY) + <usize>quad * (states << 4);
  const constantB = (arg(args, FLAGS) & CONSTANT_B) != 0;
  const chunks = (arg(args, LENGTH) + CHUNK - 1) / CHUNK;
  const entry = stateAddress(args, pointer(args, CHUNK_STATES), batch * chunks + from / CHUNK, quad);
  gatherState(state, entry, states, lanes);
  let previous = 0;
  let entered = false;
  for (let i = from; i < to; i++) {
    const step = steps + <usize>(i - from) * stepBytes(states);
    const id = segmentAt(args, batch, i);
    if (id < 0) continue;
    // not before the loop: chunks of padding alone would each walk back over all padding before them
    if (!entered) previous = segmentBefore(args, batch, from);
    entered = true;
    if (previous >= 0 && id != previous) memory.fill(state, 0, states << 4);
    previous = id;
    const time = timeOf(args, i);
    const delta = deltaAt(args, batch, time, offset, lanes);
    const x = f32x4.mul(delta, loadLanes(rowOf(args, U, batch, time) + offset, lanes));
    v128.store(step, delta);
    memory.copy(step + 16, state, states << 4);
    const rowB = rowFor(args, B, constantB, batch, time, quad);
    for (let n = 0; n < states; n++) {
      const at = <usize>n << 4;
      const b = f32x4.mul(x, coefficient(rowB, n, constantB));
      v128.store(state + at, decayed(f32x4.mul(delta, v128.load(decay + at)), v128.load(state + at), b));
    }
  }
}

function denseAt(args: usize, base: usize, batch: i32, time: i32, offset: usize): usize {
  return base + <usize>(batch * arg(args, LENGTH) + time) * (<usize>arg(args, CHANNELS) << 2) + offset;
}

/** Sweeps the adjoint back over a replayed chunk. */
function sweep(
  args: usize, batch: i32, quad: i32, from: i32, to: i32, steps: usize, adjoint: usize, products: usize,
  sums: usize, slice: i32,
): void {
  const states = arg(args, STATES);
  const groups = arg(args, GROUPS);
  const flags = arg(args, FLAGS);
  const lanes = lanesOf(args, quad);
  const offset = <usize>channelOf(args, quad) << 2;
  const decay = pointer(args, DECAY) + <usize>quad * (states << 4);
  const constantB = (flags & CONSTANT_B) != 0;
  const constantC = (flags & CONSTANT_C) != 0;
  const skipAt = pointer(args, D);
  const skip = skipAt == 0 ? f32x4.splat(0) : loadLanes(skipAt + offset, lanes);
  const width = <usize>states << 4;
  const sumA = sums;
  const sumB = sums + (<usize>states << 4);
  const sumC = sumB + (<usize>states << 4);
  const sumSkip = sumC + (<usize>states << 4);
  const length = arg(args, LENGTH);
  const sliceRow = slice * arg(args, BATCH) + batch;
  for (let i = to - 1; i >= from; i--) {
    const time = timeOf(args, i);
    const id = segmentAt(args, batch, i);
    if (id < 0) {
      clear(args, batch, time, offset, lanes);
      continue;
    }
    const step = steps + <usize>(i - from) * stepBytes(states);
    const delta = v128.load(step);
    const u = loadLanes(rowOf(args, U, batch, time) + offset, lanes);
    const x = f32x4.mul(delta, u);
    const dy = ungated(args, batch, time, offset, lanes);
    const rowB = rowFor(args, B, constantB, batch, time, quad);
    const rowC = rowFor(args, C, constantC, batch, time, quad);
    const partial = <usize>((((sliceRow * length + time) * groups + groupOf(args, quad)) * states) << 2);
    const partialB = pointer(args, PARTIAL_B) + partial;
    const partialC = pointer(args, PARTIAL_C) + partial;
    let y = f32x4.mul(skip, u);
    let throughB = f32x4.splat(0);
    let throughA = f32x4.splat(0);
    for (let n = 0; n < states; n++) {
      const at = <usize>n << 4;
      const b = coefficient(rowB, n, constantB);
      const c = coefficient(rowC, n, constantC);
      const a = v128.load(decay + at);
      // what decays the state forward decays its adjoint backward: one exponential for both
      const z = bounded(f32x4.mul(delta, a));
      const n2 = rounded(z);
      const whole = power(n2);
      const rest = exp2Fraction(f32x4.sub(z, wholePart(n2)));
      const scaled = f32x4.mul(whole, v128.load(step + 16 + at));
      const kept = madd(rest, scaled, scaled);
      const h = madd(x, b, kept);
      const g = madd(dy, c, v128.load(adjoint + at));
      y = madd(c, h, y);
      throughB = madd(g, b, throughB);
      const gKept = f32x4.mul(g, kept);
      throughA = madd(gKept, a, throughA);
      accumulate(sumA + at, f32x4.mul(gKept, delta));
      const dB = f32x4.mul(g, x);
      const dC = f32x4.mul(dy, h);
      if (constantB) accumulate(sumB + at, dB);
      else v128.store(products + at, dB);
      if (constantC) accumulate(sumC + at, dC);
      else v128.store(products + width + at, dC);
      const scaledG = f32x4.mul(whole, g);
      v128.store(adjoint + at, madd(rest, scaledG, scaledG));
    }
    if (!constantB) addLaneSums(partialB, products, states);
    if (!constantC) addLaneSums(partialC, products + width, states);
    accumulate(sumSkip, f32x4.mul(dy, u));
    storeLanes(denseAt(args, pointer(args, D_U), batch, time, offset), madd(delta, throughB, f32x4.mul(skip, dy)), lanes);
    let dDelta = madd(u, throughB, f32x4.mul(f32x4.splat(LN2), throughA));
    if (flags & SOFTPLUS) dDelta = f32x4.mul(dDelta, softplusSlope(delta));
    accumulate(sumSkip + 16, dDelta);
    storeLanes(denseAt(args, pointer(args, D_DELTA), batch, time, offset), dDelta, lanes);
    if (pointer(args, D_Z) != 0) storeGate(args, batch, time, offset, lanes, y);
    if (beginsSegment(args, batch, i)) enterSegmentBefore(args, batch, quad, segmentBefore(args, batch, i), adjoint);
  }
}

/** Slope of softplus from its value: sigmoid(x) = 1 - exp(-softplus(x)). */
// @ts-ignore: decorator
@inline
function softplusSlope(value: v128): v128 {
  return f32x4.neg(expm1(f32x4.neg(value)));
}

/** dz = dy (y before the gate) silu'(z). */
function storeGate(args: usize, batch: i32, time: i32, offset: usize, lanes: i32, y: v128): void {
  const dOut = loadLanes(rowOf(args, DY, batch, time) + offset, lanes);
  const z = loadLanes(rowOf(args, Z, batch, time) + offset, lanes);
  const s = sigmoid(z);
  // silu' = s (1 + z (1 - s))
  const slope = f32x4.mul(s, madd(z, f32x4.sub(f32x4.splat(1), s), f32x4.splat(1)));
  storeLanes(denseAt(args, pointer(args, D_Z), batch, time, offset), f32x4.mul(f32x4.mul(dOut, y), slope), lanes);
}

/** Padding has no gradient. */
function clear(args: usize, batch: i32, time: i32, offset: usize, lanes: i32): void {
  const zero = f32x4.splat(0);
  storeLanes(denseAt(args, pointer(args, D_U), batch, time, offset), zero, lanes);
  storeLanes(denseAt(args, pointer(args, D_DELTA), batch, time, offset), zero, lanes);
  if (pointer(args, D_Z) != 0) storeLanes(denseAt(args, pointer(args, D_Z), batch, time, offset), zero, lanes);
}

/** All gradients of a quad over a span. */
function sweepQuad(args: usize, batch: i32, quad: i32, span: i32, slice: i32, memoryOf: usize): void {
  const states = arg(args, STATES);
  const spans = arg(args, SPANS);
  const adjoint = memoryOf;
  const state = adjoint + (<usize>states << 4);
  const products = state + (<usize>states << 4);
  const steps = products + (<usize>states << 5) + 32;
  const chunkSums = steps + <usize>CHUNK * stepBytes(states);
  const sums = pointer(args, SUMS) + <usize>((batch * spans + span) * quadCount(args) + quad) * sumsBytes(states);
  memory.fill(sums, 0, sumsBytes(states));
  if (spans == 1) lastAdjoint(args, batch, quad, adjoint, state);
  else memory.copy(adjoint, spanFrame(args, batch, quad, span), states << 4);
  const start = spanStart(args, span);
  const end = spanStart(args, span + 1);
  const chunks = (end - start + CHUNK - 1) / CHUNK;
  for (let chunk = chunks - 1; chunk >= 0; chunk--) {
    const from = start + chunk * CHUNK;
    const to = min(from + CHUNK, end);
    replay(args, batch, quad, from, to, steps, state);
    // summed by chunks first: one sum over all steps would round each of them at the size of the whole
    memory.fill(chunkSums, 0, sumsBytes(states));
    sweep(args, batch, quad, from, to, steps, adjoint, products, chunkSums, slice);
    for (let at: usize = 0; at < sumsBytes(states); at += 16) accumulate(sums + at, v128.load(chunkSums + at));
  }
  if (span > 0 || pointer(args, D_INITIAL) == 0) return;
  scatterState(stateAddress(args, pointer(args, D_INITIAL), batch, quad), adjoint, states, lanesOf(args, quad));
}

/** Gradients of one slice of channels over one span. */
function sweepSlice(args: usize, batch: i32, slice: i32, span: i32, memoryOf: usize): void {
  const quads = quadCount(args);
  const slices = arg(args, SLICES);
  const flags = arg(args, FLAGS);
  const rowBytes = <usize>(arg(args, GROUPS) * arg(args, STATES)) << 2;
  const start = spanStart(args, span);
  const length = spanStart(args, span + 1) - start;
  const firstTime = flags & REVERSE ? arg(args, LENGTH) - start - length : start;
  const row = <usize>((slice * arg(args, BATCH) + batch) * arg(args, LENGTH) + firstTime) * rowBytes;
  if (!(flags & CONSTANT_B)) memory.fill(pointer(args, PARTIAL_B) + row, 0, <usize>length * rowBytes);
  if (!(flags & CONSTANT_C)) memory.fill(pointer(args, PARTIAL_C) + row, 0, <usize>length * rowBytes);
  const end = partStart(quads, slice + 1, slices);
  for (let quad = partStart(quads, slice, slices); quad < end; quad++) {
    sweepQuad(args, batch, quad, span, slice, memoryOf);
  }
}

/** All gradients of the selective scan. Arguments: scan-common.as.ts, then those above. */
export function selectiveScanBackward(args: usize, thread: i32, threads: i32): void {
  const states = arg(args, STATES);
  const quads = quadCount(args);
  const spans = arg(args, SPANS);
  const slices = arg(args, SLICES);
  const own = pointer(args, SCRATCH) + <usize>thread * backwardBytes(states);
  if (spans > 1) {
    const items = arg(args, BATCH) * quads * spans;
    const last = partStart(items, thread + 1, threads);
    for (let item = partStart(items, thread, threads); item < last; item++) {
      sweepAlone(args, item / spans / quads, (item / spans) % quads, item % spans);
    }
    barrier(threads);
    const rows = arg(args, BATCH) * quads;
    const rowEnd = partStart(rows, thread + 1, threads);
    for (let row = partStart(rows, thread, threads); row < rowEnd; row++) {
      carryBack(args, row / quads, row % quads, own, own + (<usize>states << 4));
    }
    barrier(threads);
  }
  const items = arg(args, BATCH) * slices * spans;
  const end = partStart(items, thread + 1, threads);
  for (let item = partStart(items, thread, threads); item < end; item++) {
    sweepSlice(args, item / spans / slices, (item / spans) % slices, item % spans, own);
  }
  barrier(threads);
  const flags = arg(args, FLAGS);
  if (!(flags & CONSTANT_B)) reducePartials(args, pointer(args, PARTIAL_B), pointer(args, D_B), thread, threads);
  if (!(flags & CONSTANT_C)) reducePartials(args, pointer(args, PARTIAL_C), pointer(args, D_C), thread, threads);
  const quadEnd = partStart(quads, thread + 1, threads);
  for (let quad = partStart(quads, thread, threads); quad < quadEnd; quad++) reduceSums(args, quad, own);
}
