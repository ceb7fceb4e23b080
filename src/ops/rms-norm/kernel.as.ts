import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { rowOffset } from "../../backends/wasm/assembly/rows.as";
import { madd, nmadd, sumLanes } from "../../backends/wasm/assembly/simd.as";

/** to = a + b, `count` floats. */
export function addRow(to: usize, a: usize, b: usize, count: i32): void {
  const rest = count & 3;
  const whole = <usize>(count - rest) << 2;
  for (let i: usize = 0; i < whole; i += 16) v128.store(to + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  if (rest) storePartial(to + whole, f32x4.add(loadPartial(a + whole, rest), loadPartial(b + whole, rest)), rest);
}

/** Sum of squares of `count` floats. */
function sumSquares(x: usize, count: i32): f32 {
  let even = f32x4.splat(0);
  let odd = even;
  let i: usize = 0;
  for (const pairs = <usize>(count & ~7) << 2; i < pairs; i += 32) {
    const first = v128.load(x + i);
    const second = v128.load(x + i, 16);
    even = madd(first, first, even);
    odd = madd(second, second, odd);
  }
  if (count & 4) {
    const last = v128.load(x + i);
    even = madd(last, last, even);
    i += 16;
  }
  const rest = count & 3;
  if (rest) {
    const last = loadPartial(x + i, rest);
    odd = madd(last, last, odd);
  }
  return sumLanes(f32x4.add(even, odd));
}

/** y = x factor weight; a weight of 0 stands for none. */
function scaleRow(y: usize, x: usize, factor: v128, weight: usize, count: i32): void {
  const rest = count & 3;
  const whole = <usize>(count - rest) << 2;
  if (weight) {
    for (let i: usize = 0; i < whole; i += 16) {
      v128.store(y + i, f32x4.mul(f32x4.mul(v128.load(x + i), factor), v128.load(weight + i)));
    }
    if (!rest) return;
    const last = f32x4.mul(loadPartial(x + whole, rest), factor);
    storePartial(y + whole, f32x4.mul(last, loadPartial(weight + whole, rest)), rest);
  } else {
    for (let i: usize = 0; i < whole; i += 16) v128.store(y + i, f32x4.mul(v128.load(x + i), factor));
    if (rest) storePartial(y + whole, f32x4.mul(loadPartial(x + whole, rest), factor), rest);
  }
}

/** y = x / rms(x) weight of one row; y may be x. */
export function normRow(y: usize, x: usize, weight: usize, channels: i32, epsilon: f32): void {
  const factor = <f32>1 / sqrt<f32>(sumSquares(x, channels) / <f32>channels + epsilon);
  scaleRow(y, x, f32x4.splat(factor), weight, channels);
}

/**
 * Root-mean-square norm of rows, of x + residual if there is one.
 *
 * Words: rows, channels, rank, epsilon, weight or 0, y, sum or 0, x, residual or 0, sizes, strides of x and residual.
 */
export function rmsNorm(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const channels = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const epsilon = load<f32>(args, 12);
  const weight = <usize>load<u32>(args, 16);
  const sum = <usize>load<u32>(args, 24);
  const residual = <usize>load<u32>(args, 32);
  const sizes = args + 36;
  const xStrides = sizes + (<usize>rank << 2);
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const at = <usize>(row * channels) << 2;
    let x = <usize>load<u32>(args, 28) + rowOffset(row, rank, sizes, xStrides);
    if (residual) {
      addRow(sum + at, x, residual + rowOffset(row, rank, sizes, xStrides + (<usize>rank << 2)), channels);
      x = sum + at;
    }
    normRow(<usize>load<u32>(args, 20) + at, x, weight, channels, epsilon);
  }
}

// @ts-ignore: decorator
@inline
function scaled(weight: usize, dy: v128, i: usize): v128 {
  return weight ? f32x4.mul(v128.load(weight + i), dy) : dy;
}

/** dx of one row; adds dy x / rms to dweight unless that is 0. */
function backwardRow(
  dx: usize, x: usize, dy: usize, dsum: usize, weight: usize, dweight: usize, epsilon: f32, channels: i32,
): void {
  const rest = channels & 3;
  const whole = <usize>(channels - rest) << 2;
  let squares = f32x4.splat(0);
  let products = squares;
  for (let i: usize = 0; i < whole; i += 16) {
    const value = v128.load(x + i);
    squares = madd(value, value, squares);
    products = madd(value, scaled(weight, v128.load(dy + i), i), products);
  }
  let square = sumLanes(squares);
  let product = sumLanes(products);
  for (let i = whole; i < <usize>channels << 2; i += 4) {
    const value = load<f32>(x + i);
    square += value * value;
    product += value * load<f32>(dy + i) * (weight ? load<f32>(weight + i) : <f32>1);
  }
  const factor = <f32>1 / sqrt<f32>(square / <f32>channels + epsilon);
  const shared = factor * (product / <f32>channels);
  const factors = f32x4.splat(factor);
  const shareds = f32x4.splat(shared);
  for (let i: usize = 0; i < whole; i += 16) {
    const gradient = v128.load(dy + i);
    const unit = f32x4.mul(v128.load(x + i), factors);
    const change = f32x4.mul(factors, nmadd(unit, shareds, scaled(weight, gradient, i)));
    v128.store(dx + i, dsum ? f32x4.add(change, v128.load(dsum + i)) : change);
    if (dweight) v128.store(dweight + i, madd(gradient, unit, v128.load(dweight + i)));
  }
  for (let i = whole; i < <usize>channels << 2; i += 4) {
    const gradient = load<f32>(dy + i);
    const unit = load<f32>(x + i) * factor;
    const change = factor * (gradient * (weight ? load<f32>(weight + i) : <f32>1) - unit * shared);
    store<f32>(dx + i, dsum ? change + load<f32>(dsum + i) : change);
    if (dweight) store<f32>(dweight + i, load<f32>(dweight + i) + gradient * unit);
  }
}

/**
 * Gradients of {@link rmsNorm}: dx, and sums of dy x / rms over each chunk of rows.
 *
 * Words: rows, channels, rank, chunk (rows), epsilon, weight or 0, dx, sums [chunks channels] or 0, x, dy, dsum or
 * 0, sizes, strides of x, dy and dsum.
 */
export function rmsNormBackward(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const channels = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const chunk = load<i32>(args, 12);
  const sums = <usize>load<u32>(args, 28);
  const dsum = <usize>load<u32>(args, 40);
  const sizes = args + 44;
  const bytes = <usize>rank << 2;
  const chunks = (rows + chunk - 1) / chunk;
  const end = partStart(chunks, thread + 1, threads);
  for (let part = partStart(chunks, thread, threads); part < end; part++) {
    const dweight = sums ? sums + (<usize>(part * channels) << 2) : 0;
    if (dweight) memory.fill(dweight, 0, <usize>channels << 2);
    const last = min((part + 1) * chunk, rows);
    for (let row = part * chunk; row < last; row++) {
      backwardRow(
        <usize>load<u32>(args, 24) + (<usize>(row * channels) << 2),
        <usize>load<u32>(args, 32) + rowOffset(row, rank, sizes, sizes + bytes),
        <usize>load<u32>(args, 36) + rowOffset(row, rank, sizes, sizes + 2 * bytes),
        dsum ? dsum + rowOffset(row, rank, sizes, sizes + 3 * bytes) : 0,
        <usize>load<u32>(args, 20), dweight, load<f32>(args, 16), channels,
      );
    }
  }
}
