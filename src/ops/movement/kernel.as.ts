import { partStart } from "../../backends/wasm/assembly/partition.as";
import { PIECE, piecesOf, rowOffset } from "../../backends/wasm/assembly/rows.as";

/** Copies `count` elements of type T, given both distances in bytes. */
function copyStrided<T>(to: usize, toStride: usize, from: usize, fromStride: usize, count: i32): void {
  for (let i = 0; i < count; i++) {
    store<T>(to, load<T>(from));
    to += toStride;
    from += fromStride;
  }
}

/**
 * Copies elements between strided places.
 *
 * Words: columns, rows, rank, to, from, inner strides of both in bytes, bytes of an element (1, 2 or 4), sizes,
 * strides of both in bytes.
 */
export function copyRows(args: usize, thread: i32, threads: i32): void {
  const columns = load<i32>(args);
  const rank = load<i32>(args, 8);
  const to = <usize>load<u32>(args, 12);
  const from = <usize>load<u32>(args, 16);
  const toStride = <usize>load<u32>(args, 20);
  const fromStride = <usize>load<u32>(args, 24);
  const width = <usize>load<u32>(args, 28);
  const sizes = args + 32;
  const toStrides = sizes + (<usize>rank << 2);
  const fromStrides = toStrides + (<usize>rank << 2);
  const pieces = piecesOf(columns);
  const total = load<i32>(args, 4) * pieces;
  const end = partStart(total, thread + 1, threads);
  for (let piece = partStart(total, thread, threads); piece < end; piece++) {
    const row = piece / pieces;
    const first = (piece - row * pieces) * PIECE;
    const count = min(columns - first, PIECE);
    const target = to + rowOffset(row, rank, sizes, toStrides) + <usize>first * toStride;
    const source = from + rowOffset(row, rank, sizes, fromStrides) + <usize>first * fromStride;
    if (toStride == width && fromStride == width) memory.copy(target, source, <usize>count * width);
    else if (width == 4) copyStrided<u32>(target, toStride, source, fromStride, count);
    else if (width == 2) copyStrided<u16>(target, toStride, source, fromStride, count);
    else copyStrided<u8>(target, toStride, source, fromStride, count);
  }
}

/** Sets bytes to 0. Words: address, count. */
export function clearBytes(args: usize, thread: i32, threads: i32): void {
  const address = <usize>load<u32>(args);
  const count = load<i32>(args, 4);
  const start = partStart(count, thread, threads);
  memory.fill(address + start, 0, partStart(count, thread + 1, threads) - start);
}
