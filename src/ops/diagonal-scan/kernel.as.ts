// A diagonal recurrence with a step size for each step, four channels in the lanes: vectors are (real, imaginary) by state.
import { expm1 } from "../../backends/wasm/assembly/math.as";
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd } from "../../backends/wasm/assembly/simd.as";
import { cos, sin } from "../../backends/wasm/assembly/trigonometry.as";

const CHUNK: i32 = 32;

// Arguments, as byte offsets of words; wasm.ts writes them in this order.
const BATCH: usize = 0;
const LENGTH: usize = 4;
const CHANNELS: usize = 8;
const STATES: usize = 12;
const BILINEAR: usize = 16;
const FACTOR: usize = 20;
const SCRATCH: usize = 24;
const THREAD_BYTES: usize = 28;
const U: usize = 32; // address, batch stride, row stride
const DELTA: usize = 44;
const A: usize = 56;
const GAIN: usize = 60;
const C: usize = 64;
const CHUNK_STATES: usize = 68;
const OWN: usize = 72;

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
function load4(at: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(at) : loadPartial(at, lanes);
}

// @ts-ignore: decorator
@inline
function store4(at: usize, x: v128, lanes: i32): void {
  if (lanes == 4) v128.store(at, x);
  else storePartial(at, x, lanes);
}

/** Address of four channels of a strided input at a step. */
// @ts-ignore: decorator
@inline
function rowOf(args: usize, input: usize, batch: i32, t: i32, channel: i32): usize {
  return pointer(args, input) + <usize>(batch * arg(args, input + 4) + t * arg(args, input + 8) + (channel << 2));
}

/** Pairs [channels states 2] from `from` on, as vectors by state; zeros where there are none. */
function gather(to: usize, from: usize, states: i32, lanes: i32): void {
  memory.fill(to, 0, <usize>states << 5);
  if (from == 0) return;
  for (let lane = 0; lane < lanes; lane++) {
    for (let n = 0; n < states; n++) {
      const at = to + (<usize>n << 5) + (<usize>lane << 2);
      store<f32>(at, load<f32>(from));
      store<f32>(at, load<f32>(from, 4), 16);
      from += 8;
    }
  }
}

/** The way back. */
function scatter(to: usize, from: usize, states: i32, lanes: i32): void {
  for (let lane = 0; lane < lanes; lane++) {
    for (let n = 0; n < states; n++) {
      const at = from + (<usize>n << 5) + (<usize>lane << 2);
      store<f32>(to, load<f32>(at));
      store<f32>(to, load<f32>(at, 16), 4);
      to += 8;
    }
  }
}

/** Address of a quad's pairs in a row of [rows channels states 2], or 0. */
// @ts-ignore: decorator
@inline
function pairsOf(args: usize, base: usize, row: i32, channel: i32): usize {
  if (base == 0) return 0;
  return base + (<usize>((row * arg(args, CHANNELS) + channel) * arg(args, STATES)) << 3);
}

/** Writes A-bar - 1: exp(z) - 1 = expm1(a) cos b - 2 sin(b / 2)^2 + 2 i exp(a) sin(b / 2) cos(b / 2), or z / (1 - z / 2). */
// @ts-ignore: decorator
@inline
function storeStep(to: usize, re: v128, im: v128, bilinear: bool): void {
  const half = f32x4.mul(im, f32x4.splat(0.5));
  const one = f32x4.splat(1);
  if (bilinear) {
    const along = nmadd(re, f32x4.splat(0.5), one);
    const inverse = f32x4.div(one, madd(half, half, f32x4.mul(along, along)));
    v128.store(to, f32x4.mul(inverse, nmadd(im, half, f32x4.mul(re, along))));
    v128.store(to, f32x4.mul(inverse, madd(re, half, f32x4.mul(im, along))), 16);
    return;
  }
  const decay = expm1(re);
  const sine = sin(half);
  const twice = f32x4.add(sine, sine);
  const less = f32x4.mul(twice, sine);
  v128.store(to, f32x4.sub(nmadd(decay, less, decay), less));
  v128.store(to, f32x4.mul(f32x4.add(decay, one), f32x4.mul(twice, cos(half))), 16);
}

/** Walks states h over steps [from, to); with `output` writes y. With `kept`, keeps each step's A-bar - 1 and state before it. */
function walk(args: usize, batch: i32, channel: i32, lanes: i32, from: i32, to: i32, frame: usize, output: usize, kept: usize): void {
  const states = arg(args, STATES);
  const table = <usize>states << 5;
  const bilinear = arg(args, BILINEAR) != 0;
  const factor = f32x4.splat(load<f32>(args + FACTOR));
  const h = frame + 3 * table;
  for (let t = from; t < to; t++) {
    const u = load4(rowOf(args, U, batch, t, channel), lanes);
    const delta = load4(rowOf(args, DELTA, batch, t, channel), lanes);
    let y = f32x4.splat(0);
    for (let at: usize = 0; at < table; at += 32) {
      const own = frame + at;
      const place = kept == 0 ? frame + 4 * table : kept + 2 * at;
      storeStep(place, f32x4.mul(delta, v128.load(own)), f32x4.mul(delta, v128.load(own, 16)), bilinear);
      const re = v128.load(h + at);
      const im = v128.load(h + at, 16);
      if (kept != 0) {
        v128.store(place, re, 32);
        v128.store(place, im, 48);
      }
      const gRe = v128.load(place);
      const gIm = v128.load(place, 16);
      const sRe = madd(v128.load(own + table), u, re);
      const sIm = madd(v128.load(own + table, 16), u, im);
      const nextRe = f32x4.add(re, nmadd(gIm, sIm, f32x4.mul(gRe, sRe)));
      const nextIm = f32x4.add(im, madd(gIm, sRe, f32x4.mul(gRe, sIm)));
      v128.store(h + at, nextRe);
      v128.store(h + at, nextIm, 16);
      y = nmadd(v128.load(own + 2 * table, 16), nextIm, madd(v128.load(own + 2 * table), nextRe, y));
    }
    if (kept != 0) kept += 2 * table;
    if (output != 0) store4(output + <usize>((t * arg(args, CHANNELS)) << 2), f32x4.mul(factor, y), lanes);
  }
}

/** A, gain and C of a quad, at the start of its frame. */
function loadSystem(args: usize, channel: i32, lanes: i32, frame: usize): void {
  const states = arg(args, STATES);
  const table = <usize>states << 5;
  gather(frame, pairsOf(args, pointer(args, A), 0, channel), states, lanes);
  gather(frame + table, pairsOf(args, pointer(args, GAIN), 0, channel), states, lanes);
  gather(frame + 2 * table, pairsOf(args, pointer(args, C), 0, channel), states, lanes);
}

/** OWN: initialState or 0, y, finalState. A thread's scratch holds 4 vectors of pairs by state, and a pair. */
export function diagonalScanForward(args: usize, thread: i32, threads: i32): void {
  const channels = arg(args, CHANNELS);
  const states = arg(args, STATES);
  const length = arg(args, LENGTH);
  const quads = (channels + 3) >> 2;
  const chunks = (length + CHUNK - 1) / CHUNK;
  const frame = pointer(args, SCRATCH) + <usize>thread * pointer(args, THREAD_BYTES);
  const h = frame + 3 * (<usize>states << 5);
  const end = partStart(arg(args, BATCH) * quads, thread + 1, threads);
  for (let item = partStart(arg(args, BATCH) * quads, thread, threads); item < end; item++) {
    const batch = item / quads;
    const channel = (item - batch * quads) << 2;
    const lanes = min(4, channels - channel);
    loadSystem(args, channel, lanes, frame);
    gather(h, pairsOf(args, pointer(args, OWN), batch, channel), states, lanes);
    const y = pointer(args, OWN + 4) + <usize>((batch * length * channels + channel) << 2);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const saved = pairsOf(args, pointer(args, CHUNK_STATES), batch * chunks + chunk, channel);
      if (saved != 0) scatter(saved, h, states, lanes);
      walk(args, batch, channel, lanes, chunk * CHUNK, min(length, (chunk + 1) * CHUNK), frame, y, 0);
    }
    scatter(pairsOf(args, pointer(args, OWN + 8), batch, channel), h, states, lanes);
  }
}

/** One step back: takes lambda over the step; sums of a quad's gradients are behind it. Returns nothing but writes du and dDelta. */
function stepBack(args: usize, t: i32, batch: i32, channel: i32, lanes: i32, frame: usize, kept: usize): void {
  const table = <usize>arg(args, STATES) << 5;
  const bilinear = arg(args, BILINEAR) != 0;
  const u = load4(rowOf(args, U, batch, t, channel), lanes);
  const delta = load4(rowOf(args, DELTA, batch, t, channel), lanes);
  const dy = f32x4.mul(f32x4.splat(load<f32>(args + FACTOR)), load4(rowOf(args, OWN, batch, t, channel), lanes));
  const lambda = frame + 4 * table;
  let du = f32x4.splat(0);
  let dDelta = du;
  for (let at: usize = 0; at < table; at += 32) {
    const own = frame + at;
    const step = kept + 2 * at;
    const gRe = v128.load(step);
    const gIm = v128.load(step, 16);
    const re = v128.load(step, 32);
    const im = v128.load(step, 48);
    const gainRe = v128.load(own + table);
    const gainIm = v128.load(own + table, 16);
    const sRe = madd(gainRe, u, re);
    const sIm = madd(gainIm, u, im);
    const hRe = f32x4.add(re, nmadd(gIm, sIm, f32x4.mul(gRe, sRe)));
    const hIm = f32x4.add(im, madd(gIm, sRe, f32x4.mul(gRe, sIm)));
    const lRe = madd(v128.load(own + 2 * table), dy, v128.load(lambda + at));
    const lIm = nmadd(v128.load(own + 2 * table, 16), dy, v128.load(lambda + at, 16));
    const sums = lambda + table + at;
    v128.store(sums + 2 * table, madd(hRe, dy, v128.load(sums + 2 * table)));
    v128.store(sums + 2 * table, nmadd(hIm, dy, v128.load(sums + 2 * table, 16)), 16);
    // gradient of what enters: conj(g) lambda
    const eRe = madd(gIm, lIm, f32x4.mul(gRe, lRe));
    const eIm = nmadd(gIm, lRe, f32x4.mul(gRe, lIm));
    v128.store(sums + table, madd(eRe, u, v128.load(sums + table)));
    v128.store(sums + table, madd(eIm, u, v128.load(sums + table, 16)), 16);
    du = madd(gainIm, eIm, madd(gainRe, eRe, du));
    // dg = lambda conj(s); dz = dg conj(slope)
    const dgRe = madd(lIm, sIm, f32x4.mul(lRe, sRe));
    const dgIm = nmadd(lRe, sIm, f32x4.mul(lIm, sRe));
    let slopeRe = f32x4.add(gRe, f32x4.splat(1));
    let slopeIm = gIm;
    if (bilinear) {
      // g' = (1 + g / 2)^2
      const oneRe = madd(gRe, f32x4.splat(0.5), f32x4.splat(1));
      slopeRe = f32x4.sub(f32x4.mul(oneRe, oneRe), f32x4.mul(f32x4.mul(gIm, gIm), f32x4.splat(0.25)));
      slopeIm = f32x4.mul(oneRe, gIm);
    }
    const dzRe = madd(dgIm, slopeIm, f32x4.mul(dgRe, slopeRe));
    const dzIm = nmadd(dgRe, slopeIm, f32x4.mul(dgIm, slopeRe));
    v128.store(sums, madd(delta, dzRe, v128.load(sums)));
    v128.store(sums, madd(delta, dzIm, v128.load(sums, 16)), 16);
    dDelta = madd(v128.load(own, 16), dzIm, madd(v128.load(own), dzRe, dDelta));
    v128.store(lambda + at, f32x4.add(lRe, eRe));
    v128.store(lambda + at, f32x4.add(lIm, eIm), 16);
  }
  const place = <usize>(((batch * arg(args, LENGTH) + t) * arg(args, CHANNELS) + channel) << 2);
  store4(pointer(args, OWN + 16) + place, du, lanes);
  store4(pointer(args, OWN + 20) + place, dDelta, lanes);
}

/**
 * OWN: dy (address, strides), dFinalState or 0, du, dDelta, dA, dGain, dC, dInitialState. A thread's scratch: A, gain, C, h, lambda and
 * the sums of dA, dGain and dC by state, then what a chunk's steps keep.
 */
export function diagonalScanBackward(args: usize, thread: i32, threads: i32): void {
  const channels = arg(args, CHANNELS);
  const states = arg(args, STATES);
  const length = arg(args, LENGTH);
  const table = <usize>states << 5;
  const quads = (channels + 3) >> 2;
  const chunks = (length + CHUNK - 1) / CHUNK;
  const frame = pointer(args, SCRATCH) + <usize>thread * pointer(args, THREAD_BYTES);
  const lambda = frame + 4 * table;
  const kept = frame + 8 * table;
  const end = partStart(arg(args, BATCH) * quads, thread + 1, threads);
  for (let item = partStart(arg(args, BATCH) * quads, thread, threads); item < end; item++) {
    const batch = item / quads;
    const channel = (item - batch * quads) << 2;
    const lanes = min(4, channels - channel);
    loadSystem(args, channel, lanes, frame);
    gather(lambda, pairsOf(args, pointer(args, OWN + 12), batch, channel), states, lanes);
    memory.fill(lambda + table, 0, 3 * table);
    for (let chunk = chunks - 1; chunk >= 0; chunk--) {
      const first = chunk * CHUNK;
      const last = min(length, first + CHUNK);
      gather(frame + 3 * table, pairsOf(args, pointer(args, CHUNK_STATES), batch * chunks + chunk, channel), states, lanes);
      walk(args, batch, channel, lanes, first, last, frame, 0, kept);
      for (let t = last - 1; t >= first; t--) {
        stepBack(args, t, batch, channel, lanes, frame, kept + <usize>(t - first) * 2 * table);
      }
    }
    for (let part = 0; part < 3; part++) {
      const to = pairsOf(args, pointer(args, OWN + 24 + (<usize>part << 2)), batch, channel);
      scatter(to, lambda + <usize>(part + 1) * table, states, lanes);
    }
    scatter(pairsOf(args, pointer(args, OWN + 36), batch, channel), lambda, states, lanes);
  }
}
