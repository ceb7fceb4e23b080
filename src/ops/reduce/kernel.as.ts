import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { PIECE } from "../../backends/wasm/assembly/rows.as";
import { sumLanes } from "../../backends/wasm/assembly/simd.as";

/** Sum of `count` floats in a row, in 16 running sums. */
export function sumRow(from: usize, count: i32): f32 {
  let s0 = f32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const blocks = from + (<usize>(count & ~15) << 2);
  for (; from < blocks; from += 64) {
    s0 = f32x4.add(s0, v128.load(from));
    s1 = f32x4.add(s1, v128.load(from, 16));
    s2 = f32x4.add(s2, v128.load(from, 32));
    s3 = f32x4.add(s3, v128.load(from, 48));
  }
  const vectors = from + (<usize>(count & 12) << 2);
  for (; from < vectors; from += 16) s0 = f32x4.add(s0, v128.load(from));
  const rest = count & 3;
  if (rest) s1 = f32x4.add(s1, loadPartial(from, rest));
  return sumLanes(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
}

/** to[0..count) = sums of `rows` rows that are `stride` bytes apart; four rows are added before they meet the sum. */
function sumColumns(to: usize, from: usize, rows: i32, stride: usize, count: i32): void {
  const quads = rows & ~3;
  const rest = count & 3;
  const whole = <usize>(count - rest) << 2;
  memory.fill(to, 0, <usize>count << 2);
  for (let row = 0; row < quads; row += 4) {
    const second = from + stride;
    const third = second + stride;
    const fourth = third + stride;
    for (let i: usize = 0; i < whole; i += 16) {
      const low = f32x4.add(v128.load(from + i), v128.load(second + i));
      const high = f32x4.add(v128.load(third + i), v128.load(fourth + i));
      v128.store(to + i, f32x4.add(v128.load(to + i), f32x4.add(low, high)));
    }
    if (rest) {
      const low = f32x4.add(loadPartial(from + whole, rest), loadPartial(second + whole, rest));
      const high = f32x4.add(loadPartial(third + whole, rest), loadPartial(fourth + whole, rest));
      storePartial(to + whole, f32x4.add(loadPartial(to + whole, rest), f32x4.add(low, high)), rest);
    }
    from = fourth + stride;
  }
  for (let row = quads; row < rows; row++) {
    for (let i: usize = 0; i < whole; i += 16) {
      v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(from + i)));
    }
    for (let i = whole; i < <usize>count << 2; i += 4) store<f32>(to + i, load<f32>(to + i) + load<f32>(from + i));
    from += stride;
  }
}

/**
 * Sums over parts of the middle axis of x [outer middle inner]: sums [outer chunks inner].
 *
 * Words: outer, middle, inner, chunk (middle elements of a part), x, outer and middle stride of x in bytes, sums.
 */
export function reduceSumChunks(args: usize, thread: i32, threads: i32): void {
  const middle = load<i32>(args, 4);
  const inner = load<i32>(args, 8);
  const chunk = load<i32>(args, 12);
  const x = <usize>load<u32>(args, 16);
  const outerStride = <usize>load<u32>(args, 20);
  const middleStride = <usize>load<u32>(args, 24);
  const sums = <usize>load<u32>(args, 28);
  const chunks = (middle + chunk - 1) / chunk;
  const blocks = (inner + PIECE - 1) / PIECE;
  const total = load<i32>(args) * chunks * blocks;
  const end = partStart(total, thread + 1, threads);
  for (let item = partStart(total, thread, threads); item < end; item++) {
    const part = item / blocks;
    const column = (item - part * blocks) * PIECE;
    const outer = part / chunks;
    const first = (part - outer * chunks) * chunk;
    const rows = min(middle - first, chunk);
    const from = x + <usize>outer * outerStride + <usize>first * middleStride + (<usize>column << 2);
    const to = sums + (<usize>(part * inner + column) << 2);
    if (inner == 1 && middleStride == 4) store<f32>(to, sumRow(from, rows));
    else sumColumns(to, from, rows, middleStride, min(inner - column, PIECE));
  }
}

/** y [outer inner] = sums of partial sums [outer chunks inner], in float64. Words: outer, chunks, inner, sums, y. */
export function reduceSumPartials(args: usize, thread: i32, threads: i32): void {
  const chunks = load<i32>(args, 4);
  const inner = load<i32>(args, 8);
  const sums = <usize>load<u32>(args, 12);
  const y = <usize>load<u32>(args, 16);
  const total = load<i32>(args) * inner;
  const stride = <usize>inner << 2;
  const end = partStart(total, thread + 1, threads);
  for (let item = partStart(total, thread, threads); item < end; item++) {
    const outer = item / inner;
    let from = sums + (<usize>(outer * chunks * inner + item - outer * inner) << 2);
    let sum: f64 = 0;
    for (let chunk = 0; chunk < chunks; chunk++) {
      sum += <f64>load<f32>(from);
      from += stride;
    }
    store<f32>(y + (<usize>item << 2), <f32>sum);
  }
}

/** Stores the largest of four running maxima, and the first place it was found at. */
function storeBest(y: usize, at: usize, best: v128, index: v128): void {
  let most = f32x4.extract_lane(best, 0);
  let place = i32x4.extract_lane(index, 0);
  const other1 = f32x4.extract_lane(best, 1);
  const place1 = i32x4.extract_lane(index, 1);
  if (other1 > most || (other1 == most && place1 < place)) {
    most = other1;
    place = place1;
  }
  const other2 = f32x4.extract_lane(best, 2);
  const place2 = i32x4.extract_lane(index, 2);
  if (other2 > most || (other2 == most && place2 < place)) {
    most = other2;
    place = place2;
  }
  const other3 = f32x4.extract_lane(best, 3);
  const place3 = i32x4.extract_lane(index, 3);
  if (other3 > most || (other3 == most && place3 < place)) {
    most = other3;
    place = place3;
  }
  store<f32>(y, most);
  store<i32>(at, place);
}

/** Largest of a row and its first place; a NaN in front stays, others are passed over. */
function maxRow(y: usize, at: usize, from: usize, count: i32): void {
  let best = v128.load_splat<f32>(from);
  let index = i32x4.splat(0);
  let here = i32x4(0, 1, 2, 3);
  const step = i32x4.splat(4);
  const whole = count & ~3;
  for (let i = 0; i < whole; i += 4) {
    const x = v128.load(from + (<usize>i << 2));
    const larger = f32x4.gt(x, best);
    best = v128.bitselect(x, best, larger);
    index = v128.bitselect(here, index, larger);
    here = i32x4.add(here, step);
  }
  storeBest(y, at, best, index);
  for (let i = whole; i < count; i++) {
    const x = load<f32>(from + (<usize>i << 2));
    if (x > load<f32>(y)) {
      store<f32>(y, x);
      store<i32>(at, i);
    }
  }
}

/** The same for `count` columns of rows that are `stride` bytes apart. */
function maxColumns(y: usize, at: usize, from: usize, rows: i32, stride: usize, count: i32): void {
  memory.copy(y, from, <usize>count << 2);
  memory.fill(at, 0, <usize>count << 2);
  const whole = <usize>(count & ~3) << 2;
  for (let row = 1; row < rows; row++) {
    from += stride;
    const here = i32x4.splat(row);
    for (let i: usize = 0; i < whole; i += 16) {
      const x = v128.load(from + i);
      const best = v128.load(y + i);
      const larger = f32x4.gt(x, best);
      v128.store(y + i, v128.bitselect(x, best, larger));
      v128.store(at + i, v128.bitselect(here, v128.load(at + i), larger));
    }
    for (let i = whole; i < <usize>count << 2; i += 4) {
      const x = load<f32>(from + i);
      if (x > load<f32>(y + i)) {
        store<f32>(y + i, x);
        store<i32>(at + i, row);
      }
    }
  }
}

/**
 * Largest elements over the middle axis of x [outer middle inner] and the first places they are at.
 *
 * Words: outer, middle, inner, x, outer and middle stride of x in bytes, y, at.
 */
export function reduceMax(args: usize, thread: i32, threads: i32): void {
  const middle = load<i32>(args, 4);
  const inner = load<i32>(args, 8);
  const x = <usize>load<u32>(args, 12);
  const outerStride = <usize>load<u32>(args, 16);
  const middleStride = <usize>load<u32>(args, 20);
  const y = <usize>load<u32>(args, 24);
  const at = <usize>load<u32>(args, 28);
  const blocks = (inner + PIECE - 1) / PIECE;
  const total = load<i32>(args) * blocks;
  const end = partStart(total, thread + 1, threads);
  for (let item = partStart(total, thread, threads); item < end; item++) {
    const outer = item / blocks;
    const column = (item - outer * blocks) * PIECE;
    const from = x + <usize>outer * outerStride + (<usize>column << 2);
    const to = <usize>(outer * inner + column) << 2;
    if (inner == 1 && middleStride == 4) maxRow(y + to, at + to, from, middle);
    else maxColumns(y + to, at + to, from, middle, middleStride, min(inner - column, PIECE));
  }
}

/**
 * dx [outer middle inner]: dy where the largest element was, else 0.
 *
 * Words: outer, middle, inner, chunk (rows of the middle axis that one thread takes), at, its outer stride in
 * bytes, dy, its outer stride in bytes, dx.
 */
export function reduceMaxBackward(args: usize, thread: i32, threads: i32): void {
  const middle = load<i32>(args, 4);
  const inner = load<i32>(args, 8);
  const chunk = load<i32>(args, 12);
  const chunks = (middle + chunk - 1) / chunk;
  const total = load<i32>(args) * chunks;
  const end = partStart(total, thread + 1, threads);
  for (let item = partStart(total, thread, threads); item < end; item++) {
    const outer = item / chunks;
    const first = (item - outer * chunks) * chunk;
    const rows = min(middle - first, chunk);
    const at = <usize>load<u32>(args, 16) + <usize>outer * load<u32>(args, 20);
    const dy = <usize>load<u32>(args, 24) + <usize>outer * load<u32>(args, 28);
    const dx = <usize>load<u32>(args, 32) + (<usize>((outer * middle + first) * inner) << 2);
    memory.fill(dx, 0, <usize>(rows * inner) << 2);
    for (let column = 0; column < inner; column++) {
      const row = load<i32>(at + (<usize>column << 2)) - first;
      if (<u32>row >= <u32>rows) continue;
      store<f32>(dx + (<usize>(row * inner + column) << 2), load<f32>(dy + (<usize>column << 2)));
    }
  }
}
