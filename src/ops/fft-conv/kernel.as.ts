// Long convolutions: spectra of powers of two are multiplied. Eight channels go through one transform of four complex lanes: the
// first four as real parts, the others as imaginary parts. The spectrum of either follows from the numbers at a frequency and at
// its negative, which lie at places p and p with all bits below its highest one flipped.
import { storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd } from "../../backends/wasm/assembly/simd.as";
import { loadLanes, transformBackward, transformForward } from "../fourier/transform.as";

// places in the arguments of both kernels; strides in bytes
const U: usize = 0;
const U_BATCH: usize = 4;
const U_TIME: usize = 8;
const K: usize = 12;
const K_ROW: usize = 16;
const AFTER: usize = 20;
const AFTER_ROW: usize = 24;
const D: usize = 28;
const BATCH: usize = 32;
const LENGTH: usize = 36;
const CHANNELS: usize = 40;
/** Those taps that reach a step. */
const TAPS: usize = 44;
const AFTER_TAPS: usize = 48;
const COUNT: usize = 52;
const TURNS: usize = 56;
const SCRATCH: usize = 60;
const Y: usize = 64;
const DY: usize = 64;
const DY_BATCH: usize = 68;
const DY_TIME: usize = 72;
const DU: usize = 76;
const DK: usize = 80;
const D_AFTER: usize = 84;
const DD: usize = 88;

// @ts-ignore: decorator
@inline
function storeLanes(address: usize, x: v128, count: i32): void {
  if (count >= 4) v128.store(address, x);
  else if (count > 0) storePartial(address, x, count);
}

/** Place of the negative of the frequency at a place. */
// @ts-ignore: decorator
@inline
function partner(p: i32): i32 {
  return p == 0 ? 0 : p ^ ((1 << (31 - clz(p))) - 1);
}

/** Rows of up to 8 channels as elements, then zeros. */
function loadRows(work: usize, from: usize, stride: usize, rows: i32, count: i32, channels: i32): void {
  for (let t = 0; t < rows; t++) {
    v128.store(work + (<usize>t << 5), loadLanes(from, channels));
    v128.store(work + (<usize>t << 5), loadLanes(from + 16, channels - 4), 16);
    from += stride;
  }
  memory.fill(work + (<usize>rows << 5), 0, <usize>(count - rows) << 5);
}

/** What the two halves of the channels have at place p, twice. */
// @ts-ignore: decorator
@inline
function firstRe(work: usize, p: usize, q: usize): v128 {
  return f32x4.add(v128.load(work + p), v128.load(work + q));
}
// @ts-ignore: decorator
@inline
function firstIm(work: usize, p: usize, q: usize): v128 {
  return f32x4.sub(v128.load(work + p, 16), v128.load(work + q, 16));
}
// @ts-ignore: decorator
@inline
function secondRe(work: usize, p: usize, q: usize): v128 {
  return f32x4.add(v128.load(work + p, 16), v128.load(work + q, 16));
}
// @ts-ignore: decorator
@inline
function secondIm(work: usize, p: usize, q: usize): v128 {
  return f32x4.sub(v128.load(work + q), v128.load(work + p));
}

/** Spectra of the kernels of both halves of a group of channels, with the scale of everything that follows, at `first`. */
function kernelSpectra(args: usize, group: i32, first: usize, work: usize): void {
  const count = load<i32>(args, COUNT);
  const channels = load<i32>(args, CHANNELS) - (group << 3);
  const column = <usize>group << 5;
  loadRows(work, load<u32>(args, K) + column, load<u32>(args, K_ROW), load<i32>(args, TAPS), count, channels);
  let from = <usize>load<u32>(args, AFTER) + column;
  for (let j = 0; j < load<i32>(args, AFTER_TAPS); j++) {
    const at = work + (<usize>(count - 1 - j) << 5);
    v128.store(at, loadLanes(from, channels));
    v128.store(at, loadLanes(from + 16, channels - 4), 16);
    from += load<u32>(args, AFTER_ROW);
  }
  transformForward(work, count, load<u32>(args, TURNS));
  const scale = f32x4.splat(0.25 / <f32>count);
  const second = first + (<usize>count << 5);
  for (let place = 0; place < count; place++) {
    const p = <usize>place << 5;
    const q = <usize>partner(place) << 5;
    v128.store(first + p, f32x4.mul(scale, firstRe(work, p, q)));
    v128.store(first + p, f32x4.mul(scale, firstIm(work, p, q)), 16);
    v128.store(second + p, f32x4.mul(scale, secondRe(work, p, q)));
    v128.store(second + p, f32x4.mul(scale, secondIm(work, p, q)), 16);
  }
}

/** Joins numbers a and b of both halves at place p, and what they have at q, in one spectrum. */
// @ts-ignore: decorator
@inline
function join(work: usize, p: usize, q: usize, aRe: v128, aIm: v128, bRe: v128, bIm: v128): void {
  v128.store(work + p, f32x4.sub(aRe, bIm));
  v128.store(work + p, f32x4.add(bRe, aIm), 16);
  v128.store(work + q, f32x4.add(aRe, bIm));
  v128.store(work + q, f32x4.sub(bRe, aIm), 16);
}

/** A spectrum times those of the kernels, or with `sign` -1 times their conjugates. */
function multiplySpectra(work: usize, first: usize, count: i32, sign: f32): void {
  const second = first + (<usize>count << 5);
  const signs = f32x4.splat(sign);
  for (let place = 0; place < count; place++) {
    const other = partner(place);
    if (other < place) continue;
    const p = <usize>place << 5;
    const q = <usize>other << 5;
    const uRe = firstRe(work, p, q);
    const uIm = firstIm(work, p, q);
    const vRe = secondRe(work, p, q);
    const vIm = secondIm(work, p, q);
    const kRe = v128.load(first + p);
    const kIm = f32x4.mul(signs, v128.load(first + p, 16));
    const lRe = v128.load(second + p);
    const lIm = f32x4.mul(signs, v128.load(second + p, 16));
    join(
      work, p, q, nmadd(uIm, kIm, f32x4.mul(uRe, kRe)), madd(uIm, kRe, f32x4.mul(uRe, kIm)),
      nmadd(vIm, lIm, f32x4.mul(vRe, lRe)), madd(vIm, lRe, f32x4.mul(vRe, lIm)),
    );
  }
}

/** Adds conj(u) dy at a place. */
// @ts-ignore: decorator
@inline
function addProduct(to: usize, uRe: v128, uIm: v128, dyRe: v128, dyIm: v128): void {
  v128.store(to, madd(uRe, dyRe, madd(uIm, dyIm, v128.load(to))));
  v128.store(to, madd(uRe, dyIm, nmadd(uIm, dyRe, v128.load(to, 16))), 16);
}

/** Adds what one row of the batch gives the kernels, by the spectra of u and dy. */
function addToKernels(sums: usize, u: usize, dy: usize, count: i32): void {
  const second = sums + (<usize>count << 5);
  for (let place = 0; place < count; place++) {
    const other = partner(place);
    if (other < place) continue;
    const p = <usize>place << 5;
    const q = <usize>other << 5;
    addProduct(sums + p, firstRe(u, p, q), firstIm(u, p, q), firstRe(dy, p, q), firstIm(dy, p, q));
    addProduct(second + p, secondRe(u, p, q), secondIm(u, p, q), secondRe(dy, p, q), secondIm(dy, p, q));
  }
}

/** Gradients of the kernels from their spectra at `sums`. */
function storeKernels(args: usize, group: i32, sums: usize, work: usize): void {
  const count = load<i32>(args, COUNT);
  const second = sums + (<usize>count << 5);
  const scale = f32x4.splat(0.25 / <f32>count);
  for (let place = 0; place < count; place++) {
    const other = partner(place);
    if (other < place) continue;
    const p = <usize>place << 5;
    const q = <usize>other << 5;
    join(
      work, p, q, f32x4.mul(scale, v128.load(sums + p)), f32x4.mul(scale, v128.load(sums + p, 16)),
      f32x4.mul(scale, v128.load(second + p)), f32x4.mul(scale, v128.load(second + p, 16)),
    );
  }
  transformBackward(work, count, load<u32>(args, TURNS));
  const all = load<i32>(args, CHANNELS);
  const channels = all - (group << 3);
  const column = <usize>group << 5;
  const row = <usize>all << 2;
  for (let j = 0; j < load<i32>(args, TAPS); j++) {
    const to = <usize>load<u32>(args, DK) + <usize>j * row + column;
    storeLanes(to, v128.load(work + (<usize>j << 5)), channels);
    storeLanes(to + 16, v128.load(work + (<usize>j << 5), 16), channels - 4);
  }
  for (let j = 0; j < load<i32>(args, AFTER_TAPS); j++) {
    const from = work + (<usize>(count - 1 - j) << 5);
    const to = <usize>load<u32>(args, D_AFTER) + <usize>j * row + column;
    storeLanes(to, v128.load(from), channels);
    storeLanes(to + 16, v128.load(from, 16), channels - 4);
  }
  const dD = <usize>load<u32>(args, DD);
  if (dD == 0) return;
  storeLanes(dD + column, v128.load(work), channels);
  storeLanes(dD + column + 16, v128.load(work, 16), channels - 4);
}

/** y = a row of the work + D x; rows of y are dense. */
function storeRows(args: usize, group: i32, y: usize, work: usize, x: usize, stride: usize): void {
  const all = load<i32>(args, CHANNELS);
  const channels = all - (group << 3);
  const d = <usize>load<u32>(args, D) + (<usize>group << 5);
  const hasD = load<u32>(args, D) != 0;
  const skip = hasD ? loadLanes(d, channels) : f32x4.splat(0);
  const otherSkip = hasD ? loadLanes(d + 16, channels - 4) : f32x4.splat(0);
  for (let t = 0; t < load<i32>(args, LENGTH); t++) {
    let low = v128.load(work + (<usize>t << 5));
    let high = v128.load(work + (<usize>t << 5), 16);
    if (hasD) {
      low = madd(skip, loadLanes(x, channels), low);
      high = madd(otherSkip, loadLanes(x + 16, channels - 4), high);
    }
    storeLanes(y, low, channels);
    storeLanes(y + 16, high, channels - 4);
    y += <usize>all << 2;
    x += stride;
  }
}

/** Arguments: up to the scratch as named above, 96 bytes times count a thread; then y. */
export function fftConv(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args, COUNT);
  const length = load<i32>(args, LENGTH);
  const turns = <usize>load<u32>(args, TURNS);
  const bytes = <usize>count << 5;
  const first = <usize>load<u32>(args, SCRATCH) + <usize>thread * 3 * bytes;
  const work = first + 2 * bytes;
  const all = load<i32>(args, CHANNELS);
  const stride = <usize>load<u32>(args, U_TIME);
  const groups = (all + 7) >> 3;
  const end = partStart(groups, thread + 1, threads);
  for (let group = partStart(groups, thread, threads); group < end; group++) {
    kernelSpectra(args, group, first, work);
    for (let b = 0; b < load<i32>(args, BATCH); b++) {
      const u = <usize>load<u32>(args, U) + <usize>b * load<u32>(args, U_BATCH) + (<usize>group << 5);
      loadRows(work, u, stride, length, count, all - (group << 3));
      transformForward(work, count, turns);
      multiplySpectra(work, first, count, 1);
      transformBackward(work, count, turns);
      const y = <usize>load<u32>(args, Y) + (<usize>(b * length) * <usize>all << 2) + (<usize>group << 5);
      storeRows(args, group, y, work, u, stride);
    }
  }
}

/** Arguments: up to the scratch as named above, 192 bytes times count a thread; then dy and the gradients. */
export function fftConvBackward(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args, COUNT);
  const length = load<i32>(args, LENGTH);
  const turns = <usize>load<u32>(args, TURNS);
  const bytes = <usize>count << 5;
  const first = <usize>load<u32>(args, SCRATCH) + <usize>thread * 6 * bytes;
  const work = first + 2 * bytes;
  const other = first + 3 * bytes;
  const sums = first + 4 * bytes;
  const all = load<i32>(args, CHANNELS);
  const stride = <usize>load<u32>(args, DY_TIME);
  const groups = (all + 7) >> 3;
  const end = partStart(groups, thread + 1, threads);
  for (let group = partStart(groups, thread, threads); group < end; group++) {
    const channels = all - (group << 3);
    kernelSpectra(args, group, first, work);
    memory.fill(sums, 0, 2 * bytes);
    for (let b = 0; b < load<i32>(args, BATCH); b++) {
      const u = <usize>load<u32>(args, U) + <usize>b * load<u32>(args, U_BATCH) + (<usize>group << 5);
      const dy = <usize>load<u32>(args, DY) + <usize>b * load<u32>(args, DY_BATCH) + (<usize>group << 5);
      loadRows(work, u, load<u32>(args, U_TIME), length, count, channels);
      transformForward(work, count, turns);
      loadRows(other, dy, stride, length, count, channels);
      transformForward(other, count, turns);
      addToKernels(sums, work, other, count);
      multiplySpectra(other, first, count, -1);
      transformBackward(other, count, turns);
      const du = <usize>load<u32>(args, DU) + (<usize>(b * length) * <usize>all << 2) + (<usize>group << 5);
      storeRows(args, group, du, other, dy, stride);
    }
    storeKernels(args, group, sums, work);
  }
}
