import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { philox } from "../../backends/wasm/assembly/philox.as";
import { PIECE, piecesOf } from "../../backends/wasm/assembly/rows.as";

/**
 * factors[i] = scale if word i of the stream >>> 8 is at least the threshold, else 0.
 *
 * Words: count, factors, seed (low, high), stream, threshold, scale.
 */
export function dropoutFactors(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args);
  const factors = <usize>load<u32>(args, 4);
  const threshold = i32x4.splat(load<i32>(args, 20));
  const scale = f32x4.splat(load<f32>(args, 24));
  const blocks = (count + 3) >> 2;
  const end = partStart(blocks, thread + 1, threads);
  for (let block = partStart(blocks, thread, threads); block < end; block++) {
    const words = philox(block, load<u32>(args, 16), load<u32>(args, 8), load<u32>(args, 12));
    const kept = v128.and(scale, i32x4.ge_s(i32x4.shr_u(words, 8), threshold));
    const left = count - (block << 2);
    const at = factors + (<usize>block << 4);
    if (left >= 4) v128.store(at, kept);
    else storePartial(at, kept, left);
  }
}

/** x factor, and 0 for the factor 0 even if x is NaN. */
// @ts-ignore: decorator
@inline
function masked(x: v128, factor: v128): v128 {
  return v128.and(f32x4.mul(x, factor), f32x4.ne(factor, f32x4.splat(0)));
}

/**
 * y [outer middle inner] = x times factors [outer inner].
 *
 * Words: outer, middle, inner, y, x, its outer and middle strides in bytes, factors.
 */
export function dropoutApply(args: usize, thread: i32, threads: i32): void {
  const middle = load<i32>(args, 4);
  const inner = load<i32>(args, 8);
  const pieces = piecesOf(inner);
  const total = load<i32>(args) * middle * pieces;
  const end = partStart(total, thread + 1, threads);
  for (let piece = partStart(total, thread, threads); piece < end; piece++) {
    const row = piece / pieces;
    const outer = row / middle;
    const first = (piece - row * pieces) * PIECE;
    const count = min(inner - first, PIECE);
    const rest = count & 3;
    const whole = <usize>(count - rest) << 2;
    const offset = <usize>first << 2;
    const y = <usize>load<u32>(args, 12) + (<usize>(row * inner) << 2) + offset;
    const rowStart = <usize>outer * load<u32>(args, 20) + <usize>(row - outer * middle) * load<u32>(args, 24);
    const x = <usize>load<u32>(args, 16) + rowStart + offset;
    const factors = <usize>load<u32>(args, 28) + (<usize>(outer * inner) << 2) + offset;
    for (let i: usize = 0; i < whole; i += 16) {
      v128.store(y + i, masked(v128.load(x + i), v128.load(factors + i)));
    }
    if (rest) storePartial(y + whole, masked(loadPartial(x + whole, rest), loadPartial(factors + whole, rest)), rest);
  }
}
