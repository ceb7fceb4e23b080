// Systems with three diagonals: pivots once for a block of columns, then elimination with four columns in the lanes.
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { nmadd } from "../../backends/wasm/assembly/simd.as";

/** Columns that share a walk over the rows. */
const BLOCK: i32 = 64;

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

/** Factors of rows before [state], then 1 / pivots [state]. */
function eliminate(factors: usize, lower: usize, diagonal: usize, upper: usize, states: i32): void {
  let inverse: f32 = 0;
  for (let i = 0; i < states; i++) {
    const at = <usize>i << 2;
    const factor: f32 = i > 0 ? load<f32>(lower + at) * inverse : 0;
    const before: f32 = i > 0 ? load<f32>(upper + at - 4) : 0;
    inverse = 1 / (load<f32>(diagonal + at) - factor * before);
    store<f32>(factors + at, factor);
    store<f32>(factors + (<usize>states << 2) + at, inverse);
  }
}

/** Arguments: lower, diagonal, upper, x, y, systems, states, columns, scratch of 8 states bytes a thread. */
export function tridiagonalSolve(args: usize, thread: i32, threads: i32): void {
  const states = load<i32>(args, 24);
  const columns = load<i32>(args, 28);
  const factors = <usize>load<u32>(args, 32) + <usize>thread * (states << 3);
  const inverses = factors + (<usize>states << 2);
  const blocks = (columns + BLOCK - 1) / BLOCK;
  const row = <usize>columns << 2;
  const end = partStart(load<i32>(args, 20) * blocks, thread + 1, threads);
  for (let item = partStart(load<i32>(args, 20) * blocks, thread, threads); item < end; item++) {
    const own = <usize>(item / blocks) * (states << 2);
    const first = (item % blocks) * BLOCK;
    const last = min(columns, first + BLOCK);
    const upper = <usize>load<u32>(args, 8) + own;
    eliminate(factors, <usize>load<u32>(args) + own, <usize>load<u32>(args, 4) + own, upper, states);
    const start = (own >> 2) * row;
    const x = <usize>load<u32>(args, 12) + start;
    const y = <usize>load<u32>(args, 16) + start;
    for (let i = 0; i < states; i++) {
      const factor = v128.load_splat<f32>(factors + (<usize>i << 2));
      for (let c = first; c < last; c += 4) {
        const at = <usize>i * row + (<usize>c << 2);
        const lanes = min(4, last - c);
        const before = i > 0 ? load4(y + at - row, lanes) : f32x4.splat(0);
        store4(y + at, nmadd(factor, before, load4(x + at, lanes)), lanes);
      }
    }
    for (let i = states - 1; i >= 0; i--) {
      const after = v128.load_splat<f32>(upper + (<usize>i << 2));
      const inverse = v128.load_splat<f32>(inverses + (<usize>i << 2));
      for (let c = first; c < last; c += 4) {
        const at = <usize>i * row + (<usize>c << 2);
        const lanes = min(4, last - c);
        const known = i < states - 1 ? nmadd(after, load4(y + at + row, lanes), load4(y + at, lanes)) : load4(y + at, lanes);
        store4(y + at, f32x4.mul(known, inverse), lanes);
      }
    }
  }
}
