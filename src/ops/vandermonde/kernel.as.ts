// Sums of exponentials in time, four channels in the lanes. Powers exp(t x) are products of two that are exact to rounding: those of
// the first steps of a block of 64 are in a table, and that of the block's first step comes from an angle reduced in float64.
import { loadStridedLanes, storeStridedPairs } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { exp } from "../../backends/wasm/assembly/math.as";
import { madd, nmadd } from "../../backends/wasm/assembly/simd.as";
import { cos, sin } from "../../backends/wasm/assembly/trigonometry.as";
import { loadLanes } from "../fourier/transform.as";

const BLOCK: i32 = 64;
const TURNS_PER_RADIAN: f64 = 0.15915494309189535;
// 2 pi in two parts; products of the first with whole numbers up to 2^20 are exact
const TURN_HIGH: f64 = 6.28318530693650245668;
const TURN_LOW: f64 = 2.43084020260247689973e-10;

/** Writes exp(t x) for four channels whose x lie `stride` bytes apart: real parts, then imaginary parts. */
function storePower(to: usize, x: usize, stride: usize, lanes: i32, t: i32): void {
  for (let lane = 0; lane < lanes; lane++) {
    const angle = <f64>t * <f64>load<f32>(x + <usize>lane * stride, 4);
    const turns = nearest<f64>(angle * TURNS_PER_RADIAN);
    store<f32>(to + (<usize>lane << 2), <f32>(angle - turns * TURN_HIGH - turns * TURN_LOW));
  }
  const angles = v128.load(to);
  const size = exp(f32x4.mul(f32x4.splat(<f32>t), loadStridedLanes(x, stride, lanes)));
  v128.store(to, f32x4.mul(size, cos(angles)));
  v128.store(to, f32x4.mul(size, sin(angles)), 16);
}

/** The powers of the first steps of a block. */
function fillTable(table: usize, x: usize, stride: usize, lanes: i32): void {
  for (let t = 0; t < BLOCK; t++) storePower(table + (<usize>t << 5), x, stride, lanes, t);
}

/**
 * Arguments: v, its strides of channels and states, x, its strides, k [length channels], channels, states, length, factor, scratch of
 * 2048 + 32 bytes a thread. Strides in bytes.
 */
export function vandermonde(args: usize, thread: i32, threads: i32): void {
  const channels = load<i32>(args, 28);
  const length = load<i32>(args, 36);
  const table = <usize>load<u32>(args, 44) + <usize>thread * 2080;
  const factor = f32x4.splat(load<f32>(args, 40));
  const row = <usize>channels << 2;
  const groups = (channels + 3) >> 2;
  const end = partStart(groups, thread + 1, threads);
  for (let group = partStart(groups, thread, threads); group < end; group++) {
    const lanes = min(4, channels - (group << 2));
    const k = <usize>load<u32>(args, 24) + (<usize>group << 4);
    for (let t = 0; t < length; t++) storeLanes(k + <usize>t * row, f32x4.splat(0), lanes);
    for (let n = 0; n < load<i32>(args, 32); n++) {
      const v = <usize>load<u32>(args) + <usize>(group << 2) * load<u32>(args, 4) + <usize>n * load<u32>(args, 8);
      const x = <usize>load<u32>(args, 12) + <usize>(group << 2) * load<u32>(args, 16) + <usize>n * load<u32>(args, 20);
      const re = f32x4.mul(factor, loadStridedLanes(v, load<u32>(args, 4), lanes));
      const im = f32x4.mul(factor, loadStridedLanes(v + 4, load<u32>(args, 4), lanes));
      fillTable(table, x, load<u32>(args, 16), lanes);
      for (let first = 0; first < length; first += BLOCK) {
        const start = table + 2048;
        storePower(start, x, load<u32>(args, 16), lanes, first);
        const pRe = v128.load(start);
        const pIm = v128.load(start, 16);
        const vRe = nmadd(im, pIm, f32x4.mul(re, pRe));
        const vIm = madd(im, pRe, f32x4.mul(re, pIm));
        addBlock(k + <usize>first * row, row, vRe, vIm, table, min(BLOCK, length - first), lanes);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function storeLanes(at: usize, x: v128, lanes: i32): void {
  if (lanes == 4) {
    v128.store(at, x);
    return;
  }
  for (let lane = 0; lane < lanes; lane++) {
    store<f32>(at + (<usize>lane << 2), f32x4.extract_lane(x, 0));
    x = i8x16.shuffle(x, x, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3);
  }
}

function addBlock(k: usize, row: usize, vRe: v128, vIm: v128, table: usize, steps: i32, lanes: i32): void {
  for (let t = 0; t < steps; t++) {
    const power = table + (<usize>t << 5);
    const sum = loadLanes(k, lanes);
    storeLanes(k, nmadd(vIm, v128.load(power, 16), madd(vRe, v128.load(power), sum)), lanes);
    k += row;
  }
}

/**
 * Arguments: v, its strides, x, its strides, dk, its row stride, channels, states, length, factor, scratch, dv and dx
 * [channels states 2]. Strides in bytes.
 */
export function vandermondeBackward(args: usize, thread: i32, threads: i32): void {
  const channels = load<i32>(args, 32);
  const states = load<i32>(args, 36);
  const table = <usize>load<u32>(args, 48) + <usize>thread * 2080;
  const groups = (channels + 3) >> 2;
  const end = partStart(groups * states, thread + 1, threads);
  for (let item = partStart(groups * states, thread, threads); item < end; item++) {
    const group = item / states;
    const n = item - group * states;
    const lanes = min(4, channels - (group << 2));
    const x = <usize>load<u32>(args, 12) + <usize>(group << 2) * load<u32>(args, 16) + <usize>n * load<u32>(args, 20);
    fillTable(table, x, load<u32>(args, 16), lanes);
    termGradients(args, group, n, lanes, x, table);
  }
}

/** Sums of dk exp(t conj x) and of t dk exp(t conj x): blocks first, which are then turned by the power of their first step. */
function termGradients(args: usize, group: i32, n: i32, lanes: i32, x: usize, table: usize): void {
  const length = load<i32>(args, 40);
  const row = <usize>load<u32>(args, 28);
  let re = f32x4.splat(0);
  let im = re;
  let slopeRe = re;
  let slopeIm = re;
  for (let first = 0; first < length; first += BLOCK) {
    let dk = <usize>load<u32>(args, 24) + (<usize>group << 4) + <usize>first * row;
    let ownRe = f32x4.splat(0);
    let ownIm = ownRe;
    let byRe = ownRe;
    let byIm = ownRe;
    const steps = min(BLOCK, length - first);
    for (let t = 0; t < steps; t++) {
      const given = loadLanes(dk, lanes);
      const scaled = f32x4.mul(given, f32x4.splat(<f32>t));
      const pRe = v128.load(table + (<usize>t << 5));
      const pIm = v128.load(table + (<usize>t << 5), 16);
      ownRe = madd(given, pRe, ownRe);
      ownIm = nmadd(given, pIm, ownIm);
      byRe = madd(scaled, pRe, byRe);
      byIm = nmadd(scaled, pIm, byIm);
      dk += row;
    }
    // t = first + the step within the block
    const from = f32x4.splat(<f32>first);
    byRe = madd(from, ownRe, byRe);
    byIm = madd(from, ownIm, byIm);
    storePower(table + 2048, x, load<u32>(args, 16), lanes, first);
    const sRe = v128.load(table + 2048);
    const sIm = v128.load(table + 2048, 16);
    re = madd(ownIm, sIm, madd(ownRe, sRe, re));
    im = nmadd(ownRe, sIm, madd(ownIm, sRe, im));
    slopeRe = madd(byIm, sIm, madd(byRe, sRe, slopeRe));
    slopeIm = nmadd(byRe, sIm, madd(byIm, sRe, slopeIm));
  }
  const v = <usize>load<u32>(args) + <usize>(group << 2) * load<u32>(args, 4) + <usize>n * load<u32>(args, 8);
  const vRe = loadStridedLanes(v, load<u32>(args, 4), lanes);
  const vIm = loadStridedLanes(v + 4, load<u32>(args, 4), lanes);
  const factor = f32x4.splat(load<f32>(args, 44));
  const at = <usize>((group << 2) * load<i32>(args, 36) + n) << 3;
  const stride = <usize>load<i32>(args, 36) << 3;
  storeStridedPairs(<usize>load<u32>(args, 52) + at, stride, f32x4.mul(factor, re), f32x4.mul(factor, im), lanes);
  const dxRe = f32x4.mul(factor, madd(vIm, slopeIm, f32x4.mul(vRe, slopeRe)));
  const dxIm = f32x4.mul(factor, nmadd(vIm, slopeRe, f32x4.mul(vRe, slopeIm)));
  storeStridedPairs(<usize>load<u32>(args, 56) + at, stride, dxRe, dxIm, lanes);
}
