// Products with a matrix in panels of 8 columns: y = a b, b as [ceil(columns / 8)] [inner] [8]. A dense matrix
// [inner] [columns] is read in the same way: its panels are 32 bytes apart, and a step of k goes to the next row.
import { partStart } from "../../backends/wasm/assembly/partition.as";
import {
  tile1x1, tile1x4, tile2x1, tile2x2, tile3x1, tile4x1, tileBfloat16_1x1, tileBfloat16_1x4, tileFloat16_1x1,
  tileFloat16_1x4,
} from "./tiles.gen.as";
import { BFLOAT16, FLOAT16, FLOAT16_BITS, FLOAT32, TO_FLOAT32 } from "./weights.as";

/** Steps of k that are summed in registers before they are added to y; part of what fixes the bits of a result. */
export const INNER_BLOCK: i32 = 384;
/** Rows of a that stay in the second-level cache while panels pass by. */
const ROW_BLOCK: i32 = 192;
/** Bytes of a that fit there whole; panels are then read once, from end to end. */
const WHOLE_BYTES: i32 = 196608;
/** Bytes of scratch a thread has: a tile of 4 rows, and 8 elements of bias. */
const EDGE_BYTES: usize = 192;
/** Bytes behind it where b has 16 bits: INNER_BLOCK steps of one panel in float32. */
const WIDENED_BYTES: usize = 12288;

/**
 * y = a b + bias, or y += a b.
 * Arguments: a, its row stride, b, from one panel to the next, y, its row stride, rows, inner, columns, bias or 0, add,
 * scratch of 192 bytes a thread, and 12,288 more where b has 16 bits, batches, from one batch to the next in a, b and y, from
 * one k to the next in b, type of b. Strides in bytes.
 */
export function gemmPanels(args: usize, thread: i32, threads: i32): void {
  const batches = load<i32>(args, 48);
  if (batches > 1 && batches >= threads) {
    const end = partStart(batches, thread + 1, threads);
    for (let batch = partStart(batches, thread, threads); batch < end; batch++) product(args, batch, 0, 1, thread);
  } else {
    for (let batch = 0; batch < batches; batch++) product(args, batch, thread, threads, thread);
  }
}

/** One part of one product; parts are rectangles of y. */
function product(args: usize, batch: i32, part: i32, parts: i32, thread: i32): void {
  const rows = load<i32>(args, 24);
  const panels = (load<i32>(args, 32) + 7) >> 3;
  const rowTiles = (rows + 3) >> 2;
  const rowParts = chooseRowParts(rowTiles, panels, parts);
  const panelParts = parts / rowParts;
  const row = part % rowParts;
  const column = part / rowParts;
  const firstRow = partStart(rowTiles, row, rowParts) << 2;
  const endRow = min(rows, partStart(rowTiles, row + 1, rowParts) << 2);
  const firstPanel = partStart(panels, column, panelParts);
  const endPanel = partStart(panels, column + 1, panelParts);
  if (endRow - firstRow < 4) thinBlock(args, batch, thread, firstRow, endRow, firstPanel, endPanel);
  else {
    for (let start = firstRow; start < endRow; start += ROW_BLOCK) {
      block(args, batch, thread, start, min(start + ROW_BLOCK, endRow), firstPanel, endPanel);
    }
  }
}

/** In how many parts rows are cut (panels in the rest) so that the largest part is small and reads little. */
export function chooseRowParts(rowTiles: i32, panels: i32, parts: i32): i32 {
  let best = 1;
  let bestCost: i64 = i64.MAX_VALUE;
  for (let rowParts = 1; rowParts <= parts; rowParts++) {
    if (parts % rowParts != 0) continue;
    const panelParts = parts / rowParts;
    const tiles = <i64>((rowTiles + rowParts - 1) / rowParts);
    const own = <i64>((panels + panelParts - 1) / panelParts);
    // a tile computes 64 products a step of k; reading a row or column counts as a few
    const cost = tiles * own * 16 + tiles * 4 + own * 8;
    if (cost < bestCost) {
      bestCost = cost;
      best = rowParts;
    }
  }
  return best;
}

function block(
  args: usize, batch: i32, thread: i32, firstRow: i32, endRow: i32, firstPanel: i32, endPanel: i32,
): void {
  const inner = load<i32>(args, 28);
  const whole = (endRow - firstRow) * inner <= WHOLE_BYTES / 4;
  const step = whole ? 1 : endPanel - firstPanel;
  for (let panel = firstPanel; panel < endPanel; panel += step) {
    let first = 0;
    do {
      const count = min(INNER_BLOCK, inner - first);
      for (let own = panel; own < panel + step; own++) {
        widen(args, batch, thread, own, first, count);
        for (let row = firstRow; row < endRow; row += 4) {
          tiles(args, batch, thread, row, min(4, endRow - row), own, 1, first, count);
        }
      }
      first += INNER_BLOCK;
    } while (first < inner);
  }
}

/** Up to 3 rows: several panels at once, so that enough sums are under way. */
function thinBlock(
  args: usize, batch: i32, thread: i32, firstRow: i32, endRow: i32, firstPanel: i32, endPanel: i32,
): void {
  const rows = endRow - firstRow;
  if (rows <= 0) return;
  const inner = load<i32>(args, 28);
  const fullPanels = load<i32>(args, 32) >> 3;
  const together = rows == 1 ? 4 : rows == 2 && load<i32>(args, 68) == FLOAT32 ? 2 : 1;
  for (let panel = firstPanel; panel < endPanel; ) {
    const width = panel + together <= min(endPanel, fullPanels) ? together : 1;
    let first = 0;
    do {
      const count = min(INNER_BLOCK, inner - first);
      if (rows > 1) widen(args, batch, thread, panel, first, count);
      tiles(args, batch, thread, firstRow, rows, panel, width, first, count);
      first += INNER_BLOCK;
    } while (first < inner);
    panel += width;
  }
}

// @ts-ignore: decorator
@inline
function edgeOf(args: usize, thread: i32): usize {
  const bytes = load<i32>(args, 68) == FLOAT32 ? EDGE_BYTES : EDGE_BYTES + WIDENED_BYTES;
  return <usize>load<u32>(args, 44) + <usize>thread * bytes;
}

/** Where `count` steps of k from `first` of a panel begin. */
// @ts-ignore: decorator
@inline
function panelOf(args: usize, batch: i32, panel: i32, first: i32): usize {
  const start = <usize>load<u32>(args, 8) + <usize>batch * load<u32>(args, 56);
  return start + <usize>panel * load<u32>(args, 12) + <usize>first * load<u32>(args, 64);
}

/** A part of a panel of 16 bits as float32 in scratch, for tiles of several rows. */
function widen(args: usize, batch: i32, thread: i32, panel: i32, first: i32, count: i32): void {
  const type = load<i32>(args, 68);
  if (type == FLOAT32) return;
  let from = panelOf(args, batch, panel, first);
  let to = edgeOf(args, thread) + EDGE_BYTES;
  const end = from + (<usize>count << 4);
  if (type == BFLOAT16) {
    for (; from < end; from += 16) {
      v128.store(to, i32x4.shl(v128.load_ext<u16>(from), 16));
      v128.store(to, i32x4.shl(v128.load_ext<u16>(from, 8), 16), 16);
      to += 32;
    }
    return;
  }
  const kept = v128.load(FLOAT16_BITS);
  const power = v128.load(TO_FLOAT32);
  for (; from < end; from += 16) {
    v128.store(to, f32x4.mul(v128.and(i32x4.shl(v128.load_ext<i16>(from), 13), kept), power));
    v128.store(to, f32x4.mul(v128.and(i32x4.shl(v128.load_ext<i16>(from, 8), 13), kept), power), 16);
    to += 32;
  }
}

/** `rows` rows by `width` panels, over `count` steps of k from `first`. */
function tiles(
  args: usize, batch: i32, thread: i32, row: i32, rows: i32, panel: i32, width: i32, first: i32, count: i32,
): void {
  const aStride = <usize>load<u32>(args, 4);
  const yStride = <usize>load<u32>(args, 20);
  const type = load<i32>(args, 68);
  const isWidened = type != FLOAT32 && rows > 1;
  const panelStride = <usize>load<u32>(args, 12);
  const step = isWidened ? 32 : <usize>load<u32>(args, 64);
  const a = <usize>load<u32>(args) + <usize>batch * load<u32>(args, 52) + <usize>row * aStride + (<usize>first << 2);
  const edge = edgeOf(args, thread);
  const b = isWidened ? edge + EDGE_BYTES : panelOf(args, batch, panel, first);
  const y =
    <usize>load<u32>(args, 16) + <usize>batch * load<u32>(args, 60) + <usize>row * yStride + (<usize>panel << 5);
  const add = first > 0 || load<i32>(args, 40) != 0;
  let bias = <usize>load<u32>(args, 36);
  if (bias != 0) bias += <usize>panel << 5;
  const columns = load<i32>(args, 32) - (panel << 3);
  if (columns >= 8) tile(type, rows, width, a, aStride, b, panelStride, step, y, yStride, count, bias, add);
  else {
    const bytes = <usize>columns << 2;
    if (bias != 0) memory.copy(edge + 128, bias, bytes);
    if (add) copyRows(edge, 32, y, yStride, rows, bytes);
    tile(type, rows, 1, a, aStride, b, panelStride, step, edge, 32, count, bias != 0 ? edge + 128 : 0, add);
    copyRows(y, yStride, edge, 32, rows, bytes);
  }
}

/**
 * One row by panels of a weight of floats, over `count` steps of k, at most INNER_BLOCK of them.
 *
 * @param a - the row from the first of these steps on
 * @param b - the first of these steps in the first panel
 * @param add - add to y instead of beginning from bias, or 0
 */
export function rowOfPanels(
  type: i32, a: usize, b: usize, inner: i32, panels: i32, y: usize, count: i32, bias: usize, add: bool,
): void {
  const step: usize = type == FLOAT32 ? 32 : 16;
  const panelStride = <usize>inner * step;
  for (let panel = 0; panel < panels; ) {
    const own = panel + 4 <= panels ? 4 : 1;
    tile(type, 1, own, a, 0, b, panelStride, step, y, 0, count, bias, add);
    panel += own;
    b += <usize>own * panelStride;
    y += <usize>own << 5;
    if (bias != 0) bias += <usize>own << 5;
  }
}

export function copyRows(to: usize, toStride: usize, from: usize, fromStride: usize, rows: i32, bytes: usize): void {
  for (let row = 0; row < rows; row++) memory.copy(to + row * toStride, from + row * fromStride, bytes);
}

function tile(
  type: i32, rows: i32, width: i32, a: usize, aStride: usize, b: usize, panelStride: usize, step: usize, y: usize, yStride: usize,
  count: i32, bias: usize, add: bool,
): void {
  if (rows == 4) tile4x1(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
  else if (rows == 1) {
    if (type == FLOAT16) {
      if (width == 4) tileFloat16_1x4(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
      else tileFloat16_1x1(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
    } else if (type == BFLOAT16) {
      if (width == 4) tileBfloat16_1x4(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
      else tileBfloat16_1x1(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
    } else if (width == 4) tile1x4(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
    else tile1x1(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
  } else if (rows == 2) {
    if (width == 2) tile2x2(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
    else tile2x1(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
  } else tile3x1(a, aStride, b, panelStride, step, y, yStride, count, bias, add);
}
