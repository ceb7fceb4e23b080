import { exp } from "../../backends/wasm/assembly/math.as";
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { rowOffset } from "../../backends/wasm/assembly/rows.as";
import { madd, nmadd, sumLanes } from "../../backends/wasm/assembly/simd.as";
import { sumRow } from "../reduce/kernel.as";
import { logOf, maxOfRow, sumExp } from "./log-sum-exp.as";

/** y = x factor. */
function scaleInPlace(y: usize, factor: f32, count: i32): void {
  const factors = f32x4.splat(factor);
  const rest = count & 3;
  const whole = <usize>(count - rest) << 2;
  for (let i: usize = 0; i < whole; i += 16) v128.store(y + i, f32x4.mul(v128.load(y + i), factors));
  if (rest) storePartial(y + whole, f32x4.mul(loadPartial(y + whole, rest), factors), rest);
}

/** y = (x - first) - second. */
function subtractTwice(y: usize, x: usize, first: f32, second: f32, count: i32): void {
  const firsts = f32x4.splat(first);
  const seconds = f32x4.splat(second);
  const rest = count & 3;
  const whole = <usize>(count - rest) << 2;
  for (let i: usize = 0; i < whole; i += 16) {
    v128.store(y + i, f32x4.sub(f32x4.sub(v128.load(x + i), firsts), seconds));
  }
  if (rest) storePartial(y + whole, f32x4.sub(f32x4.sub(loadPartial(x + whole, rest), firsts), seconds), rest);
}

/** Exponentials over their sum. Words: rows, classes, rank, y, x, sizes, strides of x. */
export function softmax(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const classes = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const sizes = args + 20;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const x = <usize>load<u32>(args, 16) + rowOffset(row, rank, sizes, sizes + (<usize>rank << 2));
    const y = <usize>load<u32>(args, 12) + (<usize>(row * classes) << 2);
    scaleInPlace(y, <f32>1 / sumExp(x, classes, maxOfRow(x, classes), y), classes);
  }
}

/** Logarithms of what {@link softmax} gives, with its words. */
export function logSoftmax(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const classes = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const sizes = args + 20;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const x = <usize>load<u32>(args, 16) + rowOffset(row, rank, sizes, sizes + (<usize>rank << 2));
    const largest = maxOfRow(x, classes);
    const y = <usize>load<u32>(args, 12) + (<usize>(row * classes) << 2);
    subtractTwice(y, x, largest, logOf(sumExp(x, classes, largest, 0)), classes);
  }
}

function dotRow(a: usize, b: usize, count: i32): f32 {
  let sum = f32x4.splat(0);
  let second = sum;
  const rest = count & 3;
  let i: usize = 0;
  for (const pairs = <usize>(count & ~7) << 2; i < pairs; i += 32) {
    sum = madd(v128.load(a + i), v128.load(b + i), sum);
    second = madd(v128.load(a + i, 16), v128.load(b + i, 16), second);
  }
  if (count & 4) {
    sum = madd(v128.load(a + i), v128.load(b + i), sum);
    i += 16;
  }
  if (rest) second = madd(loadPartial(a + i, rest), loadPartial(b + i, rest), second);
  return sumLanes(f32x4.add(sum, second));
}

/** dx = y (dy - sum of y dy). Words: rows, classes, rank, dx, y, dy, sizes, strides of y and dy. */
export function softmaxBackward(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const classes = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const sizes = args + 24;
  const bytes = <usize>rank << 2;
  const rest = classes & 3;
  const whole = <usize>(classes - rest) << 2;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const dx = <usize>load<u32>(args, 12) + (<usize>(row * classes) << 2);
    const y = <usize>load<u32>(args, 16) + rowOffset(row, rank, sizes, sizes + bytes);
    const dy = <usize>load<u32>(args, 20) + rowOffset(row, rank, sizes, sizes + 2 * bytes);
    const dots = f32x4.splat(dotRow(y, dy, classes));
    for (let i: usize = 0; i < whole; i += 16) {
      v128.store(dx + i, f32x4.mul(v128.load(y + i), f32x4.sub(v128.load(dy + i), dots)));
    }
    if (!rest) continue;
    const last = f32x4.mul(loadPartial(y + whole, rest), f32x4.sub(loadPartial(dy + whole, rest), dots));
    storePartial(dx + whole, last, rest);
  }
}

/** dx = dy - e^y sum of dy, with the words of {@link softmaxBackward}. */
export function logSoftmaxBackward(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const classes = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const sizes = args + 24;
  const bytes = <usize>rank << 2;
  const rest = classes & 3;
  const whole = <usize>(classes - rest) << 2;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const dx = <usize>load<u32>(args, 12) + (<usize>(row * classes) << 2);
    const y = <usize>load<u32>(args, 16) + rowOffset(row, rank, sizes, sizes + bytes);
    const dy = <usize>load<u32>(args, 20) + rowOffset(row, rank, sizes, sizes + 2 * bytes);
    const sums = f32x4.splat(sumRow(dy, classes));
    for (let i: usize = 0; i < whole; i += 16) {
      v128.store(dx + i, nmadd(exp(v128.load(y + i)), sums, v128.load(dy + i)));
    }
    if (!rest) continue;
    const last = nmadd(exp(loadPartial(y + whole, rest)), sums, loadPartial(dy + whole, rest));
    storePartial(dx + whole, last, rest);
  }
}
