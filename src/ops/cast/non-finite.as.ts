import { partStart } from "../../backends/wasm/assembly/partition.as";
import { PIECE, piecesOf, rowOffset } from "../../backends/wasm/assembly/rows.as";

/** Whether one of `count` elements of type T has all bits of `exponent`: those of infinities and NaN. */
function hasNonFinite<T>(from: usize, count: i32, exponent: v128): bool {
  const perVector: i32 = 16 / sizeof<T>();
  let found = i32x4.splat(0);
  for (; count >= perVector; count -= perVector) {
    const bits = v128.and(v128.load(from), exponent);
    found = v128.or(found, sizeof<T>() == 4 ? i32x4.eq(bits, exponent) : i16x8.eq(bits, exponent));
    from += 16;
  }
  if (v128.any_true(found)) return true;
  const mask: T = sizeof<T>() == 4 ? <T>i32x4.extract_lane(exponent, 0) : <T>i16x8.extract_lane_u(exponent, 0);
  for (; count > 0; count--) {
    if ((load<T>(from) & mask) == mask) return true;
    from += sizeof<T>();
  }
  return false;
}

/**
 * Sets `found` to 1 if an element is infinite or NaN.
 *
 * Words: columns, rows, rank, x, bytes of an element (2 or 4), bits of its exponent, found, sizes, strides in bytes.
 */
export function markNonFinite(args: usize, thread: i32, threads: i32): void {
  const columns = load<i32>(args);
  const rank = load<i32>(args, 8);
  const width = load<u32>(args, 16);
  const exponent = load<i32>(args, 20);
  const sizes = args + 28;
  const pieces = piecesOf(columns);
  const total = load<i32>(args, 4) * pieces;
  const end = partStart(total, thread + 1, threads);
  for (let piece = partStart(total, thread, threads); piece < end; piece++) {
    const row = piece / pieces;
    const first = (piece - row * pieces) * PIECE;
    const count = min(columns - first, PIECE);
    const offset = rowOffset(row, rank, sizes, sizes + (<usize>rank << 2));
    const from = <usize>load<u32>(args, 12) + offset + <usize>first * width;
    const bad =
      width == 4
        ? hasNonFinite<u32>(from, count, i32x4.splat(exponent))
        : hasNonFinite<u16>(from, count, i16x8.splat(<i16>exponent));
    if (!bad) continue;
    atomic.store<i32>(<usize>load<u32>(args, 24), 1);
    return;
  }
}
