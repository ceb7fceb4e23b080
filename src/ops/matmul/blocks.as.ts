// Products with int8 and int4 weights: rows of activations are rounded to int8 in blocks of 32, whole numbers are multiplied.
import { partStart } from "../../backends/wasm/assembly/partition.as";
import {
  tileInt4Bytes_1x1, tileInt4Bytes_1x4, tileInt4Bytes_2x1, tileInt4Bytes_3x1, tileInt4Bytes_4x1, tileInt4Fours_1x1,
  tileInt4Fours_1x4, tileInt4Fours_2x1, tileInt4Fours_3x1, tileInt4Fours_4x1, tileInt4Pairs_1x1, tileInt4Pairs_1x4,
  tileInt8_1x1, tileInt8_1x4, tileInt8_2x1, tileInt8_3x1, tileInt8_4x1, tileInt8Fours_1x1, tileInt8Fours_1x4,
  tileInt8Fours_2x1, tileInt8Fours_3x1, tileInt8Fours_4x1,
} from "./block-tiles.gen.as";
import { chooseRowParts, copyRows } from "./gemm.as";
import { orderFor, roundedBytes, roundRows, SPREAD_PAIRS } from "./round.as";
import { hasFours, INT4, INT4_BLOCK, INT4_VALUES, INT8, INT8_BLOCK, INT8_VALUES } from "./weights.as";

/** Bytes of rounded activations that stay in the second-level cache while panels pass by. */
const ROW_BYTES: i32 = 262144;
/** Bytes of scratch a thread has for tiles at the edge: 4 rows, and 8 elements of bias. */
const EDGE_BYTES: usize = 192;
/** Blocks that are summed in registers before they are added to y: 384 columns, as in gemm.as.ts; part of what fixes the bits. */
export const TOGETHER: i32 = 12;
/** Rows from which tiles have 4 rows; without relaxed SIMD int4 panels are then widened to int8 once instead of by every row. */
const MANY_ROWS: i32 = 4;
/** Rows from which the same pays for fours of bytes. */
const WIDENED_ROWS: i32 = 16;

/**
 * y = x w^T + bias.
 * Arguments: x, its row stride in bytes or 0 where `roundActivations` has rounded it, w, y, its row stride, rows, blocks of
 * 32 columns of w, columns of y, bias or 0, type of w, scratch, its bytes a thread. A thread's scratch holds an edge, then x
 * where it has a row stride, then for int4 and 4 rows or more a panel of int8.
 */
export function blockProduct(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args, 20);
  const blocks = load<i32>(args, 24);
  const type = load<i32>(args, 36);
  const panels = (load<i32>(args, 28) + 7) >> 3;
  const edge = <usize>load<u32>(args, 40) + <usize>thread * load<u32>(args, 44);
  const x = activations(args, edge + EDGE_BYTES);
  if (rows < MANY_ROWS) {
    thinPart(args, x, edge, partStart(panels, thread, threads), partStart(panels, thread + 1, threads));
    return;
  }
  const rowTiles = (rows + 3) >> 2;
  const rowParts = chooseRowParts(rowTiles, panels, threads);
  const panelParts = threads / rowParts;
  const row = thread % rowParts;
  const column = thread / rowParts;
  const firstRow = partStart(rowTiles, row, rowParts) << 2;
  const endRow = min(rows, partStart(rowTiles, row + 1, rowParts) << 2);
  const firstPanel = partStart(panels, column, panelParts);
  const endPanel = partStart(panels, column + 1, panelParts);
  const together = max(16, (ROW_BYTES / <i32>roundedBytes(type, blocks)) & ~3);
  for (let start = firstRow; start < endRow; start += together) {
    const end = min(endRow, start + together);
    for (let panel = firstPanel; panel < endPanel; panel++) {
      const isWide = isWidened(type) || (type == INT4 && hasFours() && rows >= WIDENED_ROWS);
      const b = isWide ? int8Panel(args, panel, edge) : panelOf(args, panel);
      for (let own = start; own < end; own += 4) {
        if (hasFours()) foursTile(args, x, edge, own, min(4, end - own), b, panel, 1, isWide || type == INT8);
        else if (isBytes(type)) bytesTile(args, x, edge, own, min(4, end - own), b, panel, 1);
        else int8Tile(args, x, edge, own, min(4, end - own), b, panel, 1);
      }
    }
  }
}

/** Whether int4 is multiplied byte by byte. */
// @ts-ignore: decorator
@inline
function isBytes(type: i32): bool {
  return ASC_FEATURE_RELAXED_SIMD && type == INT4;
}

/** Whether panels are widened to int8 for many rows. */
// @ts-ignore: decorator
@inline
function isWidened(type: i32): bool {
  return !ASC_FEATURE_RELAXED_SIMD && type == INT4;
}

/** The rounded activations; few rows are rounded by every thread for itself, which is cheaper than to wait for another. */
function activations(args: usize, own: usize): usize {
  const x = <usize>load<u32>(args);
  const stride = <usize>load<u32>(args, 4);
  if (stride == 0) return x;
  const rows = load<i32>(args, 20);
  const blocks = load<i32>(args, 24);
  const type = load<i32>(args, 36);
  const isSpread = rows < MANY_ROWS && isWidened(type);
  const together = isSpread ? 1 : 4;
  for (let row = 0; row < rows; row += together) {
    const order = isSpread ? SPREAD_PAIRS : orderFor(type);
    const to = own + <usize>row * roundedBytes(type, blocks);
    roundRows(x + <usize>row * stride, stride, min(together, rows - row), blocks, order, to);
  }
  return own;
}

/** Up to 3 rows; several panels at once, so that enough sums are under way. */
function thinPart(args: usize, x: usize, edge: usize, firstPanel: i32, endPanel: i32): void {
  const rows = load<i32>(args, 20);
  const type = load<i32>(args, 36);
  const full = min(endPanel, load<i32>(args, 28) >> 3);
  const together = rows > 1 && !isWidened(type) ? 1 : 4;
  for (let panel = firstPanel; panel < endPanel; ) {
    const width = panel + together <= full ? together : 1;
    const b = panelOf(args, panel);
    if (hasFours()) foursTile(args, x, edge, 0, rows, b, panel, width, type == INT8);
    else if (type == INT8) int8Tile(args, x, edge, 0, rows, b, panel, width);
    else if (isBytes(type)) bytesTile(args, x, edge, 0, rows, b, panel, width);
    else for (let row = 0; row < rows; row++) pairsTile(args, x, edge, row, b, panel, width);
    panel += width;
  }
}

/**
 * One rounded row by panels of a weight of int8 or int4, over `count` blocks of columns, at most TOGETHER of them.
 *
 * @param a - the row, rounded in the order of {@link rowOrder}, from the first of these blocks on
 * @param b - the first of these blocks in the first panel
 * @param add - add to y instead of beginning from bias, or 0
 */
export function rowOfBlocks(
  type: i32, a: usize, b: usize, blocks: i32, panels: i32, y: usize, count: i32, bias: usize, add: bool,
): void {
  const panelStride = <usize>blocks * (type == INT8 ? INT8_BLOCK : INT4_BLOCK);
  const together = 4;
  for (let panel = 0; panel < panels; ) {
    const wide = panel + together <= panels;
    if (ASC_FEATURE_RELAXED_SIMD && hasFours()) {
      if (type == INT8) {
        if (wide) tileInt8Fours_1x4(a, b, panelStride, y, 0, count, bias, add);
        else tileInt8Fours_1x1(a, b, 0, y, 0, count, bias, add);
      } else if (wide) tileInt4Fours_1x4(a, b, panelStride, y, 0, count, bias, add);
      else tileInt4Fours_1x1(a, b, 0, y, 0, count, bias, add);
    } else if (type == INT8) {
      if (wide) tileInt8_1x4(a, b, panelStride, y, 0, count, bias, add);
      else tileInt8_1x1(a, b, 0, y, 0, count, bias, add);
    } else if (ASC_FEATURE_RELAXED_SIMD) {
      if (wide) tileInt4Bytes_1x4(a, b, panelStride, y, 0, count, bias, add);
      else tileInt4Bytes_1x1(a, b, 0, y, 0, count, bias, add);
    } else if (wide) tileInt4Pairs_1x4(a, b, panelStride, y, 0, count, bias, add);
    else tileInt4Pairs_1x1(a, b, 0, y, 0, count, bias, add);
    const own = wide ? together : 1;
    panel += own;
    b += <usize>own * panelStride;
    y += <usize>own << 5;
    if (bias != 0) bias += <usize>own << 5;
  }
}

/** In which order {@link rowOfBlocks} wants its row. */
export function rowOrder(type: i32): i32 {
  return isWidened(type) ? SPREAD_PAIRS : orderFor(type);
}

function panelOf(args: usize, panel: i32): usize {
  const bytes = <usize>load<i32>(args, 24) * (load<i32>(args, 36) == INT8 ? INT8_BLOCK : INT4_BLOCK);
  return <usize>load<u32>(args, 8) + <usize>panel * bytes;
}

/** A panel of an int4 weight as int8. */
function int8Panel(args: usize, panel: i32, edge: usize): usize {
  const blocks = load<i32>(args, 24);
  let from = panelOf(args, panel);
  const own = load<u32>(args, 4) == 0 ? 0 : <usize>load<i32>(args, 20) * roundedBytes(INT4, blocks);
  const made = edge + EDGE_BYTES + own;
  let to = made;
  for (let block = 0; block < blocks; block++) {
    for (let group = 0; group < 4; group++) {
      if (hasFours()) {
        widenFours(from, to);
        from += 32;
        to += 64;
        continue;
      }
      widenGroup(from, to);
      from += 32;
      to += 64;
    }
    v128.store(to, v128.load(from));
    from += INT4_BLOCK - INT4_VALUES;
    to += INT8_BLOCK - INT8_VALUES;
  }
  return made;
}

/** 8 columns of 8 rows: from halves of bytes to two times four columns, each 128 more than the weight. */
// @ts-ignore: decorator
@inline
function widenFours(from: usize, to: usize): void {
  const halves = i8x16.splat(15);
  const moved = i8x16.splat(120);
  const a = v128.load(from);
  const b = v128.load(from, 16);
  v128.store(to, i8x16.add(v128.and(a, halves), moved));
  v128.store(to, i8x16.add(v128.and(b, halves), moved), 16);
  v128.store(to, i8x16.add(i8x16.shr_u(a, 4), moved), 32);
  v128.store(to, i8x16.add(i8x16.shr_u(b, 4), moved), 48);
}

/** 8 columns of 8 rows: from halves of bytes to four times pairs of columns. */
// @ts-ignore: decorator
@inline
function widenGroup(from: usize, to: usize): void {
  const halves = i8x16.splat(15);
  const eight = i8x16.splat(8);
  const a = v128.load(from);
  const b = v128.load(from, 16);
  const lowA = i8x16.sub(v128.and(a, halves), eight);
  const lowB = i8x16.sub(v128.and(b, halves), eight);
  const highA = i8x16.sub(i8x16.shr_u(a, 4), eight);
  const highB = i8x16.sub(i8x16.shr_u(b, 4), eight);
  v128.store(to, i8x16.shuffle(lowA, lowB, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29));
  v128.store(to, i8x16.shuffle(lowA, lowB, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31), 16);
  v128.store(to, i8x16.shuffle(highA, highB, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29), 32);
  v128.store(to, i8x16.shuffle(highA, highB, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31), 48);
}

/** Up to 4 rows by one panel, or 1 row by four. */
function int8Tile(
  args: usize, x: usize, edge: usize, row: i32, rows: i32, b: usize, panel: i32, width: i32,
): void {
  const blocks = load<i32>(args, 24);
  let a = x + <usize>row * roundedBytes(load<i32>(args, 36), blocks);
  const y = targetOf(args, edge, row, panel);
  const stride = strideOf(args, panel);
  const bias = biasOf(args, edge, panel);
  const panelStride = <usize>blocks * INT8_BLOCK;
  for (let first = 0; first < blocks; first += TOGETHER) {
    const count = min(TOGETHER, blocks - first);
    const add = first > 0;
    if (rows == 4) tileInt8_4x1(a, b, 0, y, stride, count, bias, add);
    else if (rows == 3) tileInt8_3x1(a, b, 0, y, stride, count, bias, add);
    else if (rows == 2) tileInt8_2x1(a, b, 0, y, stride, count, bias, add);
    else if (width == 4) tileInt8_1x4(a, b, panelStride, y, stride, count, bias, add);
    else tileInt8_1x1(a, b, 0, y, stride, count, bias, add);
    a += <usize>count * <usize>rows * 72;
    b += <usize>count * INT8_BLOCK;
  }
  finishEdge(args, edge, row, rows, panel);
}

/** Up to 4 rows by one panel of int4, or 1 row by four; with relaxed SIMD. */
function bytesTile(
  args: usize, x: usize, edge: usize, row: i32, rows: i32, b: usize, panel: i32, width: i32,
): void {
  if (!ASC_FEATURE_RELAXED_SIMD) return;
  const blocks = load<i32>(args, 24);
  let a = x + <usize>row * roundedBytes(INT4, blocks);
  const y = targetOf(args, edge, row, panel);
  const stride = strideOf(args, panel);
  const bias = biasOf(args, edge, panel);
  const panelStride = <usize>blocks * INT4_BLOCK;
  for (let first = 0; first < blocks; first += TOGETHER) {
    const count = min(TOGETHER, blocks - first);
    const add = first > 0;
    if (rows == 4) tileInt4Bytes_4x1(a, b, 0, y, stride, count, bias, add);
    else if (rows == 3) tileInt4Bytes_3x1(a, b, 0, y, stride, count, bias, add);
    else if (rows == 2) tileInt4Bytes_2x1(a, b, 0, y, stride, count, bias, add);
    else if (width == 4) tileInt4Bytes_1x4(a, b, panelStride, y, stride, count, bias, add);
    else tileInt4Bytes_1x1(a, b, 0, y, stride, count, bias, add);
    a += <usize>count * <usize>rows * 40;
    b += <usize>count * INT4_BLOCK;
  }
  finishEdge(args, edge, row, rows, panel);
}

/** Up to 4 rows by one panel, or 1 row by four, of either type; where the engine adds up four products of bytes at a time. */
function foursTile(
  args: usize, x: usize, edge: usize, row: i32, rows: i32, b: usize, panel: i32, width: i32, isInt8: bool,
): void {
  if (!ASC_FEATURE_RELAXED_SIMD) return;
  const blocks = load<i32>(args, 24);
  let a = x + <usize>row * roundedBytes(INT4, blocks);
  const y = targetOf(args, edge, row, panel);
  const stride = strideOf(args, panel);
  const bias = biasOf(args, edge, panel);
  const size = isInt8 ? INT8_BLOCK : INT4_BLOCK;
  const panelStride = <usize>blocks * size;
  for (let first = 0; first < blocks; first += TOGETHER) {
    const count = min(TOGETHER, blocks - first);
    const add = first > 0;
    if (isInt8) {
      if (rows == 4) tileInt8Fours_4x1(a, b, 0, y, stride, count, bias, add);
      else if (rows == 3) tileInt8Fours_3x1(a, b, 0, y, stride, count, bias, add);
      else if (rows == 2) tileInt8Fours_2x1(a, b, 0, y, stride, count, bias, add);
      else if (width == 4) tileInt8Fours_1x4(a, b, panelStride, y, stride, count, bias, add);
      else tileInt8Fours_1x1(a, b, 0, y, stride, count, bias, add);
    } else if (rows == 4) tileInt4Fours_4x1(a, b, 0, y, stride, count, bias, add);
    else if (rows == 3) tileInt4Fours_3x1(a, b, 0, y, stride, count, bias, add);
    else if (rows == 2) tileInt4Fours_2x1(a, b, 0, y, stride, count, bias, add);
    else if (width == 4) tileInt4Fours_1x4(a, b, panelStride, y, stride, count, bias, add);
    else tileInt4Fours_1x1(a, b, 0, y, stride, count, bias, add);
    a += <usize>count * <usize>rows * 40;
    b += <usize>count * size;
  }
  finishEdge(args, edge, row, rows, panel);
}

/** One row by one or four panels of int4; without relaxed SIMD. */
function pairsTile(args: usize, x: usize, edge: usize, row: i32, b: usize, panel: i32, width: i32): void {
  const blocks = load<i32>(args, 24);
  let a = x + <usize>row * roundedBytes(INT4, blocks);
  const y = targetOf(args, edge, row, panel);
  const stride = strideOf(args, panel);
  const bias = biasOf(args, edge, panel);
  const panelStride = <usize>blocks * INT4_BLOCK;
  for (let first = 0; first < blocks; first += TOGETHER) {
    const count = min(TOGETHER, blocks - first);
    const add = first > 0;
    if (width == 4) tileInt4Pairs_1x4(a, b, panelStride, y, stride, count, bias, add);
    else tileInt4Pairs_1x1(a, b, 0, y, stride, count, bias, add);
    a += <usize>count * 72;
    b += <usize>count * INT4_BLOCK;
  }
  finishEdge(args, edge, row, 1, panel);
}

/** Columns of y that a panel has, 8 but for the last. */
// @ts-ignore: decorator
@inline
function columnsOf(args: usize, panel: i32): i32 {
  return min(8, load<i32>(args, 28) - (panel << 3));
}

/** Where a tile is written: y, or the edge where y has fewer columns than the panel. */
function targetOf(args: usize, edge: usize, row: i32, panel: i32): usize {
  if (columnsOf(args, panel) < 8) return edge;
  return <usize>load<u32>(args, 12) + <usize>row * load<u32>(args, 16) + (<usize>panel << 5);
}

// @ts-ignore: decorator
@inline
function strideOf(args: usize, panel: i32): usize {
  return columnsOf(args, panel) < 8 ? 32 : load<u32>(args, 16);
}

function biasOf(args: usize, edge: usize, panel: i32): usize {
  const bias = <usize>load<u32>(args, 32);
  if (bias == 0) return 0;
  const own = bias + (<usize>panel << 5);
  const columns = columnsOf(args, panel);
  if (columns == 8) return own;
  memory.copy(edge + 128, own, <usize>columns << 2);
  return edge + 128;
}

function finishEdge(args: usize, edge: usize, row: i32, rows: i32, panel: i32): void {
  const columns = columnsOf(args, panel);
  if (columns == 8) return;
  const stride = <usize>load<u32>(args, 16);
  const y = <usize>load<u32>(args, 12) + <usize>row * stride + (<usize>panel << 5);
  copyRows(y, stride, edge, 32, rows, <usize>columns << 2);
}
