// Rows of strided operands; src/backends/wasm/rows.ts writes the words.

/** Elements that one thread takes at a time. */
export const PIECE: i32 = 4096;

/** Pieces of a row of `columns` elements. */
// @ts-ignore: decorator
@inline
export function piecesOf(columns: i32): i32 {
  return (columns + PIECE - 1) / PIECE;
}

/** Bytes from an operand's first row to `row`, for `rank` axes of `sizes` and byte strides `strides`. */
export function rowOffset(row: i32, rank: i32, sizes: usize, strides: usize): usize {
  let offset: usize = 0;
  for (let axis = rank - 1; axis > 0; axis--) {
    const size = load<i32>(sizes + (<usize>axis << 2));
    const outer = row / size;
    offset += <usize>(row - outer * size) * load<u32>(strides + (<usize>axis << 2));
    row = outer;
  }
  return rank > 0 ? offset + <usize>row * load<u32>(strides) : offset;
}
