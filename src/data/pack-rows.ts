/** Which pieces lie in which row. */
export interface PackedRows {
  /** Piece numbers, row by row, the largest of a row first. */
  readonly pieces: Int32Array;
  /** Where each row begins in `pieces`, and their count at the end. */
  readonly rowStarts: Int32Array;
}

/**
 * Shares pieces out to rows so that few places stay free: from the largest on, each goes into the row with the least room
 * that is enough, or into a new one (best fit decreasing: in the long run at most 11/9 of the fewest possible rows).
 *
 * Time grows with the sum of the sizes, memory with the number of pieces.
 *
 * @param sizes - from 1 to `capacity`
 * @see Johnson et al. 1974, "Worst-case performance bounds for simple one-dimensional packing algorithms"
 */
export function packRows(sizes: Int32Array, capacity: number): PackedRows {
  const decreasing = sortedBy(
    sizes.map((size) => capacity - size),
    capacity,
  ).items;
  const rowOf = new Int32Array(sizes.length);
  // rows by the room that they have left, as stacks: the top one, and the one below each
  const top = new Int32Array(capacity).fill(-1);
  const below = new Int32Array(sizes.length);
  let rows = 0;
  let room = 0;
  let previousSize = 0;
  for (const piece of decreasing) {
    const size = sizes[piece]!;
    // pieces of one size find no room between it and where the one before was put
    if (size !== previousSize) room = size;
    previousSize = size;
    while (room < capacity && top[room]! < 0) room++;
    const row = room < capacity ? top[room]! : rows++;
    if (room < capacity) top[room] = below[row]!;
    rowOf[piece] = row;
    const left = room - size;
    below[row] = top[left]!;
    top[left] = row;
    if (left >= size) room = left;
  }
  const { items, starts } = sortedBy(rowOf, rows, decreasing);
  return { pieces: items, rowStarts: starts };
}

/** Numbers of items by key, from 0 to `keys` - 1; equal keys keep the order given (counting sort). */
function sortedBy(
  keyOf: Int32Array,
  keys: number,
  order: Iterable<number> = keyOf.keys(),
): { items: Int32Array; starts: Int32Array } {
  const starts = new Int32Array(keys + 1);
  for (const key of keyOf) starts[key + 1]!++;
  for (let key = 0; key < keys; key++) starts[key + 1]! += starts[key]!;
  const next = starts.slice();
  const items = new Int32Array(keyOf.length);
  for (const item of order) items[next[keyOf[item]!]!++] = item;
  return { items, starts };
}
