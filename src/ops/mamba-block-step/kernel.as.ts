// One token through one Mamba block in two runs with two barriers: a thread owns parts of 384 channels, and what it reads of other
// threads is sums over the channels of each part alone. What is small (norms, rounding, sums of parts) every thread makes in whole, the
// same bits at the same place, which is cheaper than to wait for another.
import { barrier } from "../../backends/wasm/assembly/barrier.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { convUpdateRange } from "../causal-conv/step.as";
import { rowOfBlocks, rowOrder } from "../matmul/blocks.as";
import { INNER_BLOCK, rowOfPanels } from "../matmul/gemm.as";
import { BYTES, roundRows } from "../matmul/round.as";
import { BLOCK, INT4, INT4_BLOCK, INT8, INT8_BLOCK } from "../matmul/weights.as";
import { normRow } from "../rms-norm/kernel.as";
import { stateUpdateRange } from "../state-update/kernel.as";

// A weight [columns inner] in panels, as byte offsets of words: address, type, inner, columns.
const TYPE: usize = 4;
const INNER: usize = 8;
const COLUMNS: usize = 12;

// @ts-ignore: decorator
@inline
function arg(args: usize, offset: usize): i32 {
  return load<i32>(args + offset);
}

// @ts-ignore: decorator
@inline
function pointer(args: usize, offset: usize): usize {
  return <usize>load<u32>(args + offset);
}

// @ts-ignore: decorator
@inline
function isRounded(weight: usize): bool {
  return arg(weight, TYPE) == INT8 || arg(weight, TYPE) == INT4;
}

/** Bytes of a rounded block of one row. */
// @ts-ignore: decorator
@inline
function roundedBlock(weight: usize): usize {
  return rowOrder(arg(weight, TYPE)) == BYTES ? 40 : 72;
}

/** Where a weight's panel begins at a column of its rows. */
function panelAt(weight: usize, panel: i32, column: i32): usize {
  const type = arg(weight, TYPE);
  const inner = arg(weight, INNER);
  if (isRounded(weight)) {
    const bytes = type == INT8 ? INT8_BLOCK : INT4_BLOCK;
    return pointer(weight, 0) + <usize>(panel * (inner / BLOCK) + column / BLOCK) * bytes;
  }
  return pointer(weight, 0) + (<usize>(panel * inner + column) << (type == 0 ? 5 : 4));
}

/** Rounds columns of a row, if the weight that it meets wants it. */
function round(weight: usize, row: usize, rounded: usize, first: i32, end: i32): void {
  if (!isRounded(weight)) return;
  const to = rounded + <usize>(first / BLOCK) * roundedBlock(weight);
  roundRows(row + (<usize>first << 2), 0, 1, (end - first) / BLOCK, rowOrder(arg(weight, TYPE)), to);
}

/** y of panels = row w^T over columns [first, end), at most 384 of them. */
function part(
  weight: usize, row: usize, rounded: usize, panel: i32, panels: i32, first: i32, end: i32, y: usize, bias: usize, add: bool,
): void {
  const type = arg(weight, TYPE);
  const inner = arg(weight, INNER);
  const b = panelAt(weight, panel, first);
  if (isRounded(weight)) {
    const a = rounded + <usize>(first / BLOCK) * roundedBlock(weight);
    rowOfBlocks(type, a, b, inner / BLOCK, panels, y, (end - first) / BLOCK, bias, add);
  } else rowOfPanels(type, row + (<usize>first << 2), b, inner, panels, y, end - first, bias, add);
}

/** Some panels over all columns, a group of panels after the other, so that weights are read from end to end. */
function wholeRow(weight: usize, row: usize, rounded: usize, panel: i32, panels: i32, y: usize, bias: usize): void {
  const inner = arg(weight, INNER);
  for (let own = 0; own < panels; own += 4) {
    const count = min(4, panels - own);
    const at = <usize>own << 5;
    for (let first = 0; first < inner; first += INNER_BLOCK) {
      const end = min(first + INNER_BLOCK, inner);
      part(weight, row, rounded, panel + own, count, first, end, y + at, bias == 0 ? 0 : bias + at, first > 0);
    }
  }
}

/**
 * Adds up what the parts have: x + (bias + p0 + p1 + ...), where 0 stands for none. Every element is stored once: other threads
 * write and read the same ones.
 */
function sumParts(to: usize, x: usize, bias: usize, parts: usize, count: i32, width: i32): void {
  const bytes = <usize>width << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    let sum = v128.load(parts + at);
    if (bias != 0) sum = f32x4.add(v128.load(bias + at), sum);
    for (let i = 1; i < count; i++) sum = f32x4.add(sum, v128.load(parts + <usize>i * bytes + at));
    v128.store(to + at, x != 0 ? f32x4.add(v128.load(x + at), sum) : sum);
  }
}

// @ts-ignore: decorator
@inline
function partCount(channels: i32): i32 {
  return (channels + INNER_BLOCK - 1) / INNER_BLOCK;
}

/**
 * Norm, inProj, convolution, and what each part of the channels adds to xProj.
 * Words: x, norm weight, epsilon, dModel, dInner, normed, rounded, projected [2 dInner], inProj bias or 0, u, rounded u, parts of
 * the selection, inProj, xProj, then the words of convUpdate.
 */
export function mambaEnter(args: usize, thread: i32, threads: i32): void {
  const dModel = arg(args, 12);
  const dInner = arg(args, 16);
  const normed = pointer(args, 20);
  const rounded = pointer(args, 24);
  const projected = pointer(args, 28);
  const bias = pointer(args, 32);
  const u = pointer(args, 36);
  const roundedU = pointer(args, 40);
  const inProj = args + 48;
  const xProj = args + 64;
  const conv = args + 80;
  normRow(normed, pointer(args, 0), pointer(args, 4), dModel, load<f32>(args + 8));
  round(inProj, normed, rounded, 0, dModel);
  const parts = partCount(dInner);
  const last = partStart(parts, thread + 1, threads);
  for (let own = partStart(parts, thread, threads); own < last; own++) {
    const first = own * INNER_BLOCK;
    const end = min(first + INNER_BLOCK, dInner);
    const panels = (end - first) >> 3;
    for (let half = 0; half < 2; half++) {
      const column = half * dInner + first;
      const at = <usize>column << 2;
      wholeRow(inProj, normed, rounded, column >> 3, panels, projected + at, bias == 0 ? 0 : bias + at);
    }
    convUpdateRange(conv, first >> 2, end >> 2);
    round(xProj, u, roundedU, first, end);
    const selection = arg(xProj, COLUMNS);
    const to = pointer(args, 44) + (<usize>(own * selection) << 2);
    part(xProj, u, roundedU, 0, selection >> 3, first, end, to, 0, false);
  }
}

/**
 * Step sizes, the recurrence, what each part of the channels adds to outProj; then, behind a barrier, the residual sum.
 * Words: parts of the selection, their sum and behind it its norms, dtRank, dState, epsilon of its norms or 0, dInner, dModel, delta, gated, rounded, parts
 * of outProj, x, y, outProj bias or 0, dtProj, outProj, then the words of stateUpdate.
 */
export function mambaLeave(args: usize, thread: i32, threads: i32): void {
  let selection = pointer(args, 4);
  const rank = arg(args, 8);
  const states = arg(args, 12);
  const epsilon = load<f32>(args + 16);
  const dInner = arg(args, 20);
  const dModel = arg(args, 24);
  const delta = pointer(args, 28);
  const gated = pointer(args, 32);
  const rounded = pointer(args, 36);
  const outParts = pointer(args, 40);
  const dtProj = args + 56;
  const outProj = args + 72;
  const parts = partCount(dInner);
  const width = rank + 2 * states;
  sumParts(selection, 0, 0, pointer(args, 0), parts, width);
  if (epsilon > 0) {
    const from = selection;
    selection += <usize>width << 2;
    const b = <usize>rank << 2;
    const c = b + (<usize>states << 2);
    normRow(selection, from, 0, rank, epsilon);
    normRow(selection + b, from + b, 0, states, epsilon);
    normRow(selection + c, from + c, 0, states, epsilon);
  }
  const last = partStart(parts, thread + 1, threads);
  for (let own = partStart(parts, thread, threads); own < last; own++) {
    const first = own * INNER_BLOCK;
    const end = min(first + INNER_BLOCK, dInner);
    wholeRow(dtProj, selection, 0, first >> 3, (end - first) >> 3, delta + (<usize>first << 2), 0);
    stateUpdateRange(args + 88, first >> 2, end >> 2);
    round(outProj, gated, rounded, first, end);
    const to = outParts + (<usize>(own * dModel) << 2);
    part(outProj, gated, rounded, 0, dModel >> 3, first, end, to, 0, false);
  }
  barrier(threads);
  const x = pointer(args, 44);
  const y = pointer(args, 48);
  const bias = pointer(args, 52);
  // without a bias the residual takes its place, as in products of one row
  if (bias == 0) sumParts(y, 0, x, outParts, parts, dModel);
  else sumParts(y, x, bias, outParts, parts, dModel);
}
