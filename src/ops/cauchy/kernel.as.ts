// Cauchy sums, four channels in the lanes. The poles of a group of channels are brought into lanes once a thread; every node then
// takes each state once for all products.
import { loadStridedLanes, storeStridedPairs } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd } from "../../backends/wasm/assembly/simd.as";
import { storeTurn } from "../fourier/transform.as";

// places in the arguments of both kernels; strides in bytes
const V: usize = 0;
const V_PRODUCT: usize = 4;
const V_CHANNEL: usize = 8;
const V_STATE: usize = 12;
const W: usize = 16;
const W_CHANNEL: usize = 20;
const W_STATE: usize = 24;
const PRODUCTS: usize = 28;
const CHANNELS: usize = 32;
const STATES: usize = 36;
const NODES: usize = 40;
const LENGTH: usize = 44;
/** Cosines and sines of half the angles of nodes. */
const TURNS: usize = 48;
const SCRATCH: usize = 52;
const SCRATCH_BYTES: usize = 56;
const Q: usize = 60;
const DQ: usize = 60;
const DQ_PRODUCT: usize = 64;
const DQ_NODE: usize = 68;
const DQ_CHANNEL: usize = 72;
const DV: usize = 76;
const DW: usize = 80;

/** Arguments: turns [nodes 2], nodes, length. Node j has cos and sin of pi j / length; the former is 0 in the middle. */
export function cauchyTurns(args: usize, thread: i32, threads: i32): void {
  const nodes = load<i32>(args, 4);
  const length = load<i32>(args, 8);
  const end = partStart(nodes, thread + 1, threads);
  for (let j = partStart(nodes, thread, threads); j < end; j++) {
    const to = <usize>load<u32>(args) + (<usize>j << 3);
    storeTurn(to, j, 2 * length);
    if (2 * j == length) store<f32>(to, 0);
    store<f32>(to, -load<f32>(to, 4), 4);
  }
}

/** Poles, then residues of each product, of a group of channels: [1 + products] [states] of 32 bytes. */
function gather(args: usize, group: i32, to: usize): void {
  const lanes = min(4, load<i32>(args, CHANNELS) - (group << 2));
  for (let p = -1; p < load<i32>(args, PRODUCTS); p++) {
    const operand = p < 0 ? W : V;
    const stride = <usize>load<u32>(args + (p < 0 ? W_CHANNEL : V_CHANNEL));
    let from = <usize>load<u32>(args + operand) + <usize>(group << 2) * stride;
    if (p >= 0) from += <usize>p * load<u32>(args, V_PRODUCT);
    for (let n = 0; n < load<i32>(args, STATES); n++) {
      v128.store(to, loadStridedLanes(from, stride, lanes));
      v128.store(to, loadStridedLanes(from + 4, stride, lanes), 16);
      to += 32;
      from += load<u32>(args + (p < 0 ? W_STATE : V_STATE));
    }
  }
}

/** 1 / (2 i s - c w) and the same of conj(w), as sums and differences: re + re, im' - im, im + im', re - re'. */
// @ts-ignore: decorator
@inline
function storePoles(to: usize, w: usize, c: v128, twoS: v128): void {
  const re = f32x4.mul(c, v128.load(w));
  const im = f32x4.mul(c, v128.load(w, 16));
  const one = f32x4.sub(twoS, im);
  const two = f32x4.add(twoS, im);
  const square = f32x4.mul(re, re);
  const unit = f32x4.splat(1);
  const oneScale = f32x4.div(unit, madd(one, one, square));
  const twoScale = f32x4.div(unit, madd(two, two, square));
  const oneRe = f32x4.neg(f32x4.mul(re, oneScale));
  const twoRe = f32x4.neg(f32x4.mul(re, twoScale));
  const oneIm = f32x4.neg(f32x4.mul(one, oneScale));
  const twoIm = f32x4.neg(f32x4.mul(two, twoScale));
  storeCombined(to, oneRe, oneIm, twoRe, twoIm);
}

// @ts-ignore: decorator
@inline
function storeCombined(to: usize, oneRe: v128, oneIm: v128, twoRe: v128, twoIm: v128): void {
  v128.store(to, f32x4.add(oneRe, twoRe));
  v128.store(to, f32x4.sub(twoIm, oneIm), 16);
  v128.store(to, f32x4.add(oneIm, twoIm), 32);
  v128.store(to, f32x4.sub(oneRe, twoRe), 48);
}

/** Scratch of a thread: what `gather` leaves, then 64 bytes a state. Arguments as named above, with q [products nodes channels 2]. */
export function cauchy(args: usize, thread: i32, threads: i32): void {
  const states = load<i32>(args, STATES);
  const nodes = load<i32>(args, NODES);
  const channels = load<i32>(args, CHANNELS);
  const products = load<i32>(args, PRODUCTS);
  const poles = <usize>load<u32>(args, SCRATCH) + <usize>thread * load<u32>(args, SCRATCH_BYTES);
  const combined = poles + (<usize>((1 + products) * states) << 5);
  const items = ((channels + 3) >> 2) * nodes;
  const end = partStart(items, thread + 1, threads);
  let gathered = -1;
  for (let item = partStart(items, thread, threads); item < end; item++) {
    const group = item / nodes;
    const node = item - group * nodes;
    if (group != gathered) gather(args, group, poles);
    gathered = group;
    const turn = <usize>load<u32>(args, TURNS) + (<usize>node << 3);
    const c = v128.load_splat<f32>(turn);
    const s = v128.load_splat<f32>(turn, 4);
    for (let n: usize = 0; n < <usize>states; n++) storePoles(combined + (n << 6), poles + (n << 5), c, f32x4.add(s, s));
    for (let p = 0; p < products; p++) {
      const to = <usize>load<u32>(args, Q) + (<usize>((p * nodes + node) * channels + (group << 2)) << 3);
      sumStates(to, poles + (<usize>((1 + p) * states) << 5), combined, states, min(4, channels - (group << 2)));
    }
  }
}

function sumStates(to: usize, v: usize, combined: usize, states: i32, lanes: i32): void {
  let re = f32x4.splat(0);
  let im = re;
  for (let n = 0; n < states; n++) {
    const vRe = v128.load(v);
    const vIm = v128.load(v, 16);
    re = madd(vIm, v128.load(combined, 16), madd(vRe, v128.load(combined), re));
    im = madd(vIm, v128.load(combined, 48), madd(vRe, v128.load(combined, 32), im));
    v += 32;
    combined += 64;
  }
  storeStridedPairs(to, 8, re, im, lanes);
}

/**
 * Scratch of a thread: what `gather` leaves; 128 bytes; a sum of 32 bytes a product. Arguments as named above, dv
 * [products channels states 2] and dw [channels states 2] dense.
 */
export function cauchyBackward(args: usize, thread: i32, threads: i32): void {
  const states = load<i32>(args, STATES);
  const channels = load<i32>(args, CHANNELS);
  const products = load<i32>(args, PRODUCTS);
  const poles = <usize>load<u32>(args, SCRATCH) + <usize>thread * load<u32>(args, SCRATCH_BYTES);
  const items = ((channels + 3) >> 2) * states;
  const end = partStart(items, thread + 1, threads);
  let gathered = -1;
  for (let item = partStart(items, thread, threads); item < end; item++) {
    const group = item / states;
    const n = item - group * states;
    if (group != gathered) gather(args, group, poles);
    gathered = group;
    stateGradients(args, group, n, poles);
    const lanes = min(4, channels - (group << 2));
    const sums = poles + (<usize>((1 + products) * states) << 5) + 128;
    for (let p = 0; p <= products; p++) {
      const place = p == products ? <usize>load<u32>(args, DW) : <usize>load<u32>(args, DV) + (<usize>(p * channels * states) << 3);
      const from = sums + (<usize>p << 5);
      const to = place + (<usize>((group << 2) * states + n) << 3);
      storeStridedPairs(to, <usize>states << 3, v128.load(from), v128.load(from, 16), lanes);
    }
  }
}

/** Sums over nodes for one state of a group: of each product's residue, then of the pole. */
function stateGradients(args: usize, group: i32, n: i32, poles: usize): void {
  const states = load<i32>(args, STATES);
  const products = load<i32>(args, PRODUCTS);
  const lanes = min(4, load<i32>(args, CHANNELS) - (group << 2));
  const combined = poles + (<usize>((1 + products) * states) << 5);
  const sums = combined + 128;
  memory.fill(sums, 0, <usize>(products + 1) << 5);
  const pole = sums + (<usize>products << 5);
  for (let node = 0; node < load<i32>(args, NODES); node++) {
    const turn = <usize>load<u32>(args, TURNS) + (<usize>node << 3);
    const c = v128.load_splat<f32>(turn);
    const s = v128.load_splat<f32>(turn, 4);
    storePoles(combined, poles + (<usize>n << 5), c, f32x4.add(s, s));
    storeSquares(combined, c);
    for (let p = 0; p < products; p++) {
      const stride = <usize>load<u32>(args, DQ_CHANNEL);
      const dq = <usize>load<u32>(args, DQ) + <usize>p * load<u32>(args, DQ_PRODUCT) + <usize>node * load<u32>(args, DQ_NODE) + <usize>(group << 2) * stride;
      const re = loadStridedLanes(dq, stride, lanes);
      const im = loadStridedLanes(dq + 4, stride, lanes);
      addGiven(sums + (<usize>p << 5), combined, re, im);
      const v = poles + (<usize>((1 + p) * states + n) << 5);
      addToPole(pole, combined + 64, re, im, v128.load(v), v128.load(v, 16));
    }
  }
}

/** Behind what `storePoles` has left, the same of the squares of both, times c. */
// @ts-ignore: decorator
@inline
function storeSquares(combined: usize, c: v128): void {
  const half = f32x4.splat(0.5);
  const sum = v128.load(combined);
  const less = v128.load(combined, 48);
  const oneRe = f32x4.mul(half, f32x4.add(sum, less));
  const twoRe = f32x4.mul(half, f32x4.sub(sum, less));
  const oneIm = f32x4.mul(half, f32x4.sub(v128.load(combined, 32), v128.load(combined, 16)));
  const twoIm = f32x4.mul(half, f32x4.add(v128.load(combined, 32), v128.load(combined, 16)));
  storeCombined(
    combined + 64, f32x4.mul(c, nmadd(oneIm, oneIm, f32x4.mul(oneRe, oneRe))),
    f32x4.mul(c, f32x4.mul(f32x4.add(oneRe, oneRe), oneIm)),
    f32x4.mul(c, nmadd(twoIm, twoIm, f32x4.mul(twoRe, twoRe))),
    f32x4.mul(c, f32x4.mul(f32x4.add(twoRe, twoRe), twoIm)),
  );
}

// @ts-ignore: decorator
@inline
function throughRe(combined: usize, re: v128, im: v128): v128 {
  return madd(im, v128.load(combined, 32), f32x4.mul(re, v128.load(combined)));
}
// @ts-ignore: decorator
@inline
function throughIm(combined: usize, re: v128, im: v128): v128 {
  return madd(im, v128.load(combined, 48), f32x4.mul(re, v128.load(combined, 16)));
}

// @ts-ignore: decorator
@inline
function addGiven(to: usize, combined: usize, re: v128, im: v128): void {
  v128.store(to, f32x4.add(v128.load(to), throughRe(combined, re, im)));
  v128.store(to, f32x4.add(v128.load(to, 16), throughIm(combined, re, im)), 16);
}

/** Adds what a product gives the pole: conj(v) times what comes through the squares. */
// @ts-ignore: decorator
@inline
function addToPole(to: usize, combined: usize, re: v128, im: v128, vRe: v128, vIm: v128): void {
  const ownRe = throughRe(combined, re, im);
  const ownIm = throughIm(combined, re, im);
  v128.store(to, madd(vIm, ownIm, madd(vRe, ownRe, v128.load(to))));
  v128.store(to, nmadd(vIm, ownRe, madd(vRe, ownIm, v128.load(to, 16))), 16);
}
