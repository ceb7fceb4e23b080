// The adjoint of the scan's state, g[t] = dL/dh[t] = C[t] dy[t] + exp(delta[t+1] A) g[t+1]: where it starts, how it
// crosses segments, and how spans of time carry it to each other.
import { decayed } from "../../backends/wasm/assembly/decay.as";
import { sigmoid, softplus } from "../../backends/wasm/assembly/math.as";
import { madd } from "../../backends/wasm/assembly/simd.as";
import {
  arg, B, C, channelOf, CONSTANT_C, DECAY, DELTA, DELTA_BIAS, FLAGS, gatherState, groupOf, lanesOf, LENGTH,
  loadLanes, OWN, pointer, quadCount, rowOf, segmentAt, SEGMENT_IDS, segmentBefore, SEGMENTS, SOFTPLUS, SPAN_STATES,
  SPANS, spanStart, STATES, stateAddress, timeOf, Z,
} from "./scan-common.as";

export const DY: usize = OWN; // address, batch stride, row stride
const D_FINAL: usize = OWN + 12;
const D_SEGMENTS: usize = OWN + 16;

// Span frames: adjoint [states][4], sum of delta [4], whether a segment began.
export function spanFrame(args: usize, batch: i32, quad: i32, span: i32): usize {
  const row = (batch * quadCount(args) + quad) * arg(args, SPANS) + span;
  return pointer(args, SPAN_STATES) + <usize>row * ((<usize>arg(args, STATES) << 4) + 32);
}

export function deltaAt(args: usize, batch: i32, time: i32, offset: usize, lanes: i32): v128 {
  const biasAt = pointer(args, DELTA_BIAS);
  let delta = loadLanes(rowOf(args, DELTA, batch, time) + offset, lanes);
  if (biasAt != 0) delta = f32x4.add(delta, loadLanes(biasAt + offset, lanes));
  return arg(args, FLAGS) & SOFTPLUS ? softplus(delta) : delta;
}

/** Row of B or C for a step: scalars, or vectors of the quad where constant. */
// @ts-ignore: decorator
@inline
export function rowFor(args: usize, input: usize, constant: bool, batch: i32, time: i32, quad: i32): usize {
  if (constant) return pointer(args, input) + <usize>quad * (arg(args, STATES) << 4);
  return rowOf(args, input, batch, time) + groupOf(args, quad) * arg(args, input + 12);
}

// @ts-ignore: decorator
@inline
export function coefficient(row: usize, n: i32, constant: bool): v128 {
  return constant ? v128.load(row + (<usize>n << 4)) : v128.load32_splat(row + (n << 2));
}

/** Whether a segment begins with step i, so that nothing flows from it to the step before. */
export function beginsSegment(args: usize, batch: i32, i: i32): bool {
  if (pointer(args, SEGMENT_IDS) == 0) return false;
  const before = segmentBefore(args, batch, i);
  return before >= 0 && before != segmentAt(args, batch, i);
}

/** Gradient of the output before its gate. */
// @ts-ignore: decorator
@inline
export function ungated(args: usize, batch: i32, time: i32, offset: usize, lanes: i32): v128 {
  const dy = loadLanes(rowOf(args, DY, batch, time) + offset, lanes);
  if (pointer(args, Z) == 0) return dy;
  const z = loadLanes(rowOf(args, Z, batch, time) + offset, lanes);
  return f32x4.mul(dy, f32x4.mul(z, sigmoid(z)));
}

// @ts-ignore: decorator
@inline
export function accumulate(to: usize, value: v128): void {
  v128.store(to, f32x4.add(v128.load(to), value));
}

/** Going back over a segment's first step: the adjoint is now that of the end of the segment before. */
export function enterSegmentBefore(args: usize, batch: i32, quad: i32, segment: i32, adjoint: usize): void {
  const base = pointer(args, D_SEGMENTS);
  const row = batch * arg(args, SEGMENTS) + segment;
  const from = segment < arg(args, SEGMENTS) ? stateAddress(args, base, row, quad) : 0;
  gatherState(adjoint, from, arg(args, STATES), lanesOf(args, quad));
}

/** Adjoint behind the last step: the gradient of the final state, and of the last segment's end. */
export function lastAdjoint(args: usize, batch: i32, quad: i32, adjoint: usize, spare: usize): void {
  const states = arg(args, STATES);
  const lanes = lanesOf(args, quad);
  gatherState(adjoint, stateAddress(args, pointer(args, D_FINAL), batch, quad), states, lanes);
  const segment = segmentBefore(args, batch, arg(args, LENGTH));
  if (pointer(args, D_SEGMENTS) == 0 || segment < 0 || segment >= arg(args, SEGMENTS)) return;
  const row = batch * arg(args, SEGMENTS) + segment;
  gatherState(spare, stateAddress(args, pointer(args, D_SEGMENTS), row, quad), states, lanes);
  for (let n = 0; n < states; n++) accumulate(adjoint + (<usize>n << 4), v128.load(spare + (<usize>n << 4)));
}

/** The adjoint that a span hands to the one before it, from zero behind its last step; no other gradients. */
export function sweepAlone(args: usize, batch: i32, quad: i32, span: i32): void {
  const states = arg(args, STATES);
  const frame = spanFrame(args, batch, quad, span);
  const lanes = lanesOf(args, quad);
  const offset = <usize>channelOf(args, quad) << 2;
  const decay = pointer(args, DECAY) + <usize>quad * (states << 4);
  const constantC = (arg(args, FLAGS) & CONSTANT_C) != 0;
  memory.fill(frame, 0, (states << 4) + 32);
  let sum = f32x4.splat(0);
  for (let i = spanStart(args, span + 1) - 1; i >= spanStart(args, span); i--) {
    if (segmentAt(args, batch, i) < 0) continue;
    const time = timeOf(args, i);
    const delta = deltaAt(args, batch, time, offset, lanes);
    const dy = ungated(args, batch, time, offset, lanes);
    const rowC = rowFor(args, C, constantC, batch, time, quad);
    for (let n = 0; n < states; n++) {
      const at = <usize>n << 4;
      const g = madd(dy, coefficient(rowC, n, constantC), v128.load(frame + at));
      v128.store(frame + at, decayed(f32x4.mul(delta, v128.load(decay + at)), g, f32x4.splat(0)));
    }
    sum = f32x4.add(sum, delta);
    if (!beginsSegment(args, batch, i)) continue;
    enterSegmentBefore(args, batch, quad, segmentBefore(args, batch, i), frame);
    store<i32>(frame + (<usize>states << 4) + 16, 1);
  }
  v128.store(frame + (<usize>states << 4), sum);
}

/** Turns what spans hand back on their own into the adjoint behind each span's last step. */
export function carryBack(args: usize, batch: i32, quad: i32, adjoint: usize, spare: usize): void {
  const states = arg(args, STATES);
  const decay = pointer(args, DECAY) + <usize>quad * (states << 4);
  lastAdjoint(args, batch, quad, adjoint, spare);
  for (let span = arg(args, SPANS) - 1; span >= 0; span--) {
    const frame = spanFrame(args, batch, quad, span);
    const sum = v128.load(frame + (<usize>states << 4));
    const reset = load<i32>(frame + (<usize>states << 4) + 16) != 0;
    for (let n = 0; n < states; n++) {
      const at = <usize>n << 4;
      const own = v128.load(frame + at);
      const behind = v128.load(adjoint + at);
      v128.store(frame + at, behind);
      v128.store(adjoint + at, reset ? own : decayed(f32x4.mul(sum, v128.load(decay + at)), behind, own));
    }
  }
}
