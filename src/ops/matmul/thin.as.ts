// Products of a few rows with a matrix whose columns lie densely: 8 columns are turned on the way, so that sums have
// the order and the bits of the products with panels.
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd } from "../../backends/wasm/assembly/simd.as";

/** As in gemm.as.ts. */
const INNER_BLOCK: i32 = 384;

/**
 * y = a b^T + bias, for few rows of a.
 * Arguments: a, its row stride, b [columns inner], its row stride, y, its row stride, rows, inner, columns, bias or 0,
 * add. Strides in bytes.
 */
export function thinProduct(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args, 24);
  const inner = load<i32>(args, 28);
  const columns = load<i32>(args, 32);
  const panels = (columns + 7) >> 3;
  const end = partStart(panels, thread + 1, threads);
  for (let panel = partStart(panels, thread, threads); panel < end; panel++) {
    let first = 0;
    do {
      const count = min(INNER_BLOCK, inner - first);
      for (let row = 0; row < rows; row++) thinTile(args, row, panel << 3, min(8, columns - (panel << 3)), first, count);
      first += INNER_BLOCK;
    } while (first < inner);
  }
}

function thinTile(args: usize, row: i32, column: i32, columns: i32, first: i32, count: i32): void {
  const stride = <usize>load<u32>(args, 12);
  let a = <usize>load<u32>(args) + <usize>row * load<u32>(args, 4) + (<usize>first << 2);
  const b = <usize>load<u32>(args, 8) + <usize>column * stride + (<usize>first << 2);
  // columns past the end are read as the last one and not stored
  const last = <usize>(columns - 1);
  let b0 = b;
  let b1 = b + min<usize>(1, last) * stride;
  let b2 = b + min<usize>(2, last) * stride;
  let b3 = b + min<usize>(3, last) * stride;
  let b4 = b + min<usize>(4, last) * stride;
  let b5 = b + min<usize>(5, last) * stride;
  let b6 = b + min<usize>(6, last) * stride;
  let b7 = b + min<usize>(7, last) * stride;
  let low = f32x4.splat(0);
  let high = f32x4.splat(0);
  const end = a + (<usize>(count & ~3) << 2);
  while (a < end) {
    const x = v128.load(a);
    low = addFour(x, v128.load(b0), v128.load(b1), v128.load(b2), v128.load(b3), low);
    high = addFour(x, v128.load(b4), v128.load(b5), v128.load(b6), v128.load(b7), high);
    a += 16;
    b0 += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
    b4 += 16;
    b5 += 16;
    b6 += 16;
    b7 += 16;
  }
  for (let k: usize = 0; k < <usize>(count & 3) << 2; k += 4) {
    const x = v128.load_splat<f32>(a + k);
    low = madd(x, four(b0 + k, b1 + k, b2 + k, b3 + k), low);
    high = madd(x, four(b4 + k, b5 + k, b6 + k, b7 + k), high);
  }
  finish(args, row, column, columns, first > 0 || load<i32>(args, 40) != 0, low, high);
}

/** Adds four steps of k for the four columns b, c, d, e. */
// @ts-ignore: decorator
@inline
function addFour(x: v128, b: v128, c: v128, d: v128, e: v128, sums: v128): v128 {
  const bc01 = v128.shuffle<f32>(b, c, 0, 4, 1, 5);
  const de01 = v128.shuffle<f32>(d, e, 0, 4, 1, 5);
  const bc23 = v128.shuffle<f32>(b, c, 2, 6, 3, 7);
  const de23 = v128.shuffle<f32>(d, e, 2, 6, 3, 7);
  sums = madd(v128.shuffle<f32>(x, x, 0, 0, 0, 0), v128.shuffle<i64>(bc01, de01, 0, 2), sums);
  sums = madd(v128.shuffle<f32>(x, x, 1, 1, 1, 1), v128.shuffle<i64>(bc01, de01, 1, 3), sums);
  sums = madd(v128.shuffle<f32>(x, x, 2, 2, 2, 2), v128.shuffle<i64>(bc23, de23, 0, 2), sums);
  return madd(v128.shuffle<f32>(x, x, 3, 3, 3, 3), v128.shuffle<i64>(bc23, de23, 1, 3), sums);
}

function four(a: usize, b: usize, c: usize, d: usize): v128 {
  let out = v128.load_splat<f32>(a);
  out = f32x4.replace_lane(out, 1, load<f32>(b));
  out = f32x4.replace_lane(out, 2, load<f32>(c));
  return f32x4.replace_lane(out, 3, load<f32>(d));
}

function finish(args: usize, row: i32, column: i32, columns: i32, add: bool, low: v128, high: v128): void {
  const y = <usize>load<u32>(args, 16) + <usize>row * load<u32>(args, 20) + (<usize>column << 2);
  let bias = <usize>load<u32>(args, 36);
  if (bias != 0) bias += <usize>column << 2;
  for (let i = 0; i < columns; i++) {
    const at = y + (<usize>i << 2);
    let value = f32x4.extract_lane(low, 0);
    if (add) value = load<f32>(at) + value;
    else if (bias != 0) value = load<f32>(bias + (<usize>i << 2)) + value;
    store<f32>(at, value);
    low = i == 3 ? high : v128.shuffle<f32>(low, low, 1, 2, 3, 0);
  }
}
