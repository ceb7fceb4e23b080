// Fourier transforms of 2^k complex numbers in place, four sequences in the lanes of vectors. An element is 32 bytes: real parts,
// then imaginary parts. Forward leaves frequencies in the order of their reversed bits and backward takes them so: products of spectra
// need no other order.
import { loadPartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd } from "../../backends/wasm/assembly/simd.as";
import { cos, sin } from "../../backends/wasm/assembly/trigonometry.as";

const HALF_PI: f64 = 1.5707963267948966;

/** Writes cos and -sin of 2 pi k / count; the angle is counted exactly from the nearest quarter of a turn. */
export function storeTurn(to: usize, k: i64, count: i64): void {
  const quarter = (8 * k + count) / (2 * count);
  const rest: i64 = 4 * k - quarter * count;
  const angle = f32x4.splat(<f32>((<f64>rest / <f64>count) * HALF_PI));
  const c = f32x4.extract_lane(cos(angle), 0);
  const s = f32x4.extract_lane(sin(angle), 0);
  const isOdd = (quarter & 1) != 0;
  const cosine = isOdd ? -s : c;
  const sine = isOdd ? c : s;
  const isBack = (quarter & 2) != 0;
  store<f32>(to, isBack ? -cosine : cosine);
  store<f32>(to, isBack ? sine : -sine, 4);
}

/** Arguments: table [count 2], count. Element k is exp(-2 pi i k / count). */
export function fourierTurns(args: usize, thread: i32, threads: i32): void {
  const table = <usize>load<u32>(args);
  const count = load<i32>(args, 4);
  const end = partStart(count, thread + 1, threads);
  for (let k = partStart(count, thread, threads); k < end; k++) storeTurn(table + (<usize>k << 3), k, count);
}

/** Up to four floats; zeros beyond `count`, which may be 0 or less. */
// @ts-ignore: decorator
@inline
export function loadLanes(address: usize, count: i32): v128 {
  if (count >= 4) return v128.load(address);
  return count <= 0 ? f32x4.splat(0) : loadPartial(address, count);
}

// @ts-ignore: decorator
@inline
function storeProduct(to: usize, re: v128, im: v128, turn: usize): void {
  const c = v128.load_splat<f32>(turn);
  const s = v128.load_splat<f32>(turn, 4);
  v128.store(to, nmadd(im, s, f32x4.mul(re, c)));
  v128.store(to, madd(im, c, f32x4.mul(re, s)), 16);
}

/** Both levels of a block of four parts: y of a, b, c, d, which lie `quarter` bytes apart. */
// @ts-ignore: decorator
@inline
function forwardFour(at: usize, quarter: usize, table: usize, step: usize): void {
  const second = at + quarter;
  const third = second + quarter;
  const fourth = third + quarter;
  const aRe = v128.load(at);
  const aIm = v128.load(at, 16);
  const cRe = v128.load(third);
  const cIm = v128.load(third, 16);
  const bRe = v128.load(second);
  const bIm = v128.load(second, 16);
  const dRe = v128.load(fourth);
  const dIm = v128.load(fourth, 16);
  const sumRe = f32x4.add(aRe, cRe);
  const sumIm = f32x4.add(aIm, cIm);
  const otherRe = f32x4.add(bRe, dRe);
  const otherIm = f32x4.add(bIm, dIm);
  v128.store(at, f32x4.add(sumRe, otherRe));
  v128.store(at, f32x4.add(sumIm, otherIm), 16);
  storeProduct(second, f32x4.sub(sumRe, otherRe), f32x4.sub(sumIm, otherIm), table + 2 * step);
  const lessRe = f32x4.sub(aRe, cRe);
  const lessIm = f32x4.sub(aIm, cIm);
  // -i (b - d)
  const turnedRe = f32x4.sub(bIm, dIm);
  const turnedIm = f32x4.sub(dRe, bRe);
  storeProduct(third, f32x4.add(lessRe, turnedRe), f32x4.add(lessIm, turnedIm), table + step);
  storeProduct(fourth, f32x4.sub(lessRe, turnedRe), f32x4.sub(lessIm, turnedIm), table + 3 * step);
}

// @ts-ignore: decorator
@inline
function conjugateProductRe(at: usize, turn: usize): v128 {
  return madd(v128.load(at, 16), v128.load_splat<f32>(turn, 4), f32x4.mul(v128.load(at), v128.load_splat<f32>(turn)));
}

// @ts-ignore: decorator
@inline
function conjugateProductIm(at: usize, turn: usize): v128 {
  return nmadd(v128.load(at), v128.load_splat<f32>(turn, 4), f32x4.mul(v128.load(at, 16), v128.load_splat<f32>(turn)));
}

/** Undoes forwardFour, times 4. */
// @ts-ignore: decorator
@inline
function backwardFour(at: usize, quarter: usize, table: usize, step: usize): void {
  const second = at + quarter;
  const third = second + quarter;
  const fourth = third + quarter;
  const oneRe = conjugateProductRe(second, table + 2 * step);
  const oneIm = conjugateProductIm(second, table + 2 * step);
  const twoRe = conjugateProductRe(third, table + step);
  const twoIm = conjugateProductIm(third, table + step);
  const threeRe = conjugateProductRe(fourth, table + 3 * step);
  const threeIm = conjugateProductIm(fourth, table + 3 * step);
  const zeroRe = v128.load(at);
  const zeroIm = v128.load(at, 16);
  const sumRe = f32x4.add(zeroRe, oneRe);
  const sumIm = f32x4.add(zeroIm, oneIm);
  const lessRe = f32x4.sub(zeroRe, oneRe);
  const lessIm = f32x4.sub(zeroIm, oneIm);
  const otherRe = f32x4.add(twoRe, threeRe);
  const otherIm = f32x4.add(twoIm, threeIm);
  // i (two - three)
  const turnedRe = f32x4.sub(threeIm, twoIm);
  const turnedIm = f32x4.sub(twoRe, threeRe);
  v128.store(at, f32x4.add(sumRe, otherRe));
  v128.store(at, f32x4.add(sumIm, otherIm), 16);
  v128.store(third, f32x4.sub(sumRe, otherRe));
  v128.store(third, f32x4.sub(sumIm, otherIm), 16);
  v128.store(second, f32x4.add(lessRe, turnedRe));
  v128.store(second, f32x4.add(lessIm, turnedIm), 16);
  v128.store(fourth, f32x4.sub(lessRe, turnedRe));
  v128.store(fourth, f32x4.sub(lessIm, turnedIm), 16);
}

/** Sums and differences of neighbours. */
function pairs(data: usize, count: i32): void {
  const end = data + (<usize>count << 5);
  for (let at = data; at < end; at += 64) {
    const re = v128.load(at);
    const im = v128.load(at, 16);
    const otherRe = v128.load(at, 32);
    const otherIm = v128.load(at, 48);
    v128.store(at, f32x4.add(re, otherRe));
    v128.store(at, f32x4.add(im, otherIm), 16);
    v128.store(at, f32x4.sub(re, otherRe), 32);
    v128.store(at, f32x4.sub(im, otherIm), 48);
  }
}

/** Sums of x[t] exp(-2 pi i j t / count) in the order of reversed bits of j. `table` has the turns of count. */
export function transformForward(data: usize, count: i32, table: usize): void {
  let size = count;
  for (; size >= 4; size >>= 2) {
    const quarter = <usize>(size >> 2) << 5;
    const step = <usize>(count / size) << 3;
    const end = data + (<usize>count << 5);
    for (let block = data; block < end; block += quarter << 2) {
      let turn: usize = 0;
      for (let at = block; at < block + quarter; at += 32) {
        forwardFour(at, quarter, table, turn);
        turn += step;
      }
    }
  }
  if (size == 2) pairs(data, count);
}

/** Undoes transformForward, times count. */
export function transformBackward(data: usize, count: i32, table: usize): void {
  let size = (32 - clz(count)) & 1 ? 1 : 2;
  if (size == 2) pairs(data, count);
  for (; size < count; size <<= 2) {
    const quarter = <usize>size << 5;
    const step = <usize>(count / (size << 2)) << 3;
    const end = data + (<usize>count << 5);
    for (let block = data; block < end; block += quarter << 2) {
      let turn: usize = 0;
      for (let at = block; at < block + quarter; at += 32) {
        backwardFour(at, quarter, table, turn);
        turn += step;
      }
    }
  }
}
