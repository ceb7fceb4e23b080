import { firstLanes, loadPartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { rowOffset } from "../../backends/wasm/assembly/rows.as";
import { madd, nmadd, sumLanes } from "../../backends/wasm/assembly/simd.as";
import { sumRow } from "../reduce/kernel.as";
import { addRow } from "../rms-norm/kernel.as";

/** y = (x - mean) factor weight + bias; 0 stands for no weight or no bias. */
function normaliseRow(y: usize, x: usize, mean: f32, factor: f32, weight: usize, bias: usize, count: i32): void {
  const whole = <usize>(count & ~3) << 2;
  const means = f32x4.splat(mean);
  const factors = f32x4.splat(factor);
  for (let i: usize = 0; i < whole; i += 16) {
    let value = f32x4.mul(f32x4.sub(v128.load(x + i), means), factors);
    if (weight) value = f32x4.mul(value, v128.load(weight + i));
    if (bias) value = f32x4.add(value, v128.load(bias + i));
    v128.store(y + i, value);
  }
  for (let i = whole; i < <usize>count << 2; i += 4) {
    let value = (load<f32>(x + i) - mean) * factor;
    if (weight) value *= load<f32>(weight + i);
    if (bias) value += load<f32>(bias + i);
    store<f32>(y + i, value);
  }
}

/**
 * Layer norm of rows, of x + residual if there is one.
 *
 * The variance is taken of differences from a first mean, which the mean of the differences then corrects.
 *
 * Words: rows, channels, rank, epsilon, weight or 0, bias or 0, y, sum or 0, x, residual or 0, sizes, strides of x
 * and residual.
 */
export function layerNorm(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const channels = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const sum = <usize>load<u32>(args, 28);
  const residual = <usize>load<u32>(args, 36);
  const sizes = args + 40;
  const xStrides = sizes + (<usize>rank << 2);
  const rest = channels & 3;
  const whole = <usize>(channels - rest) << 2;
  const end = partStart(rows, thread + 1, threads);
  for (let row = partStart(rows, thread, threads); row < end; row++) {
    const at = <usize>(row * channels) << 2;
    let x = <usize>load<u32>(args, 32) + rowOffset(row, rank, sizes, xStrides);
    if (residual) {
      addRow(sum + at, x, residual + rowOffset(row, rank, sizes, xStrides + (<usize>rank << 2)), channels);
      x = sum + at;
    }
    const mean = sumRow(x, channels) / <f32>channels;
    const means = f32x4.splat(mean);
    let differences = f32x4.splat(0);
    let squares = differences;
    for (let i: usize = 0; i < whole; i += 16) {
      const difference = f32x4.sub(v128.load(x + i), means);
      differences = f32x4.add(differences, difference);
      squares = madd(difference, difference, squares);
    }
    if (rest) {
      const difference = v128.and(f32x4.sub(loadPartial(x + whole, rest), means), firstLanes(rest));
      differences = f32x4.add(differences, difference);
      squares = madd(difference, difference, squares);
    }
    const correction = sumLanes(differences) / <f32>channels;
    const variance = sumLanes(squares) / <f32>channels - correction * correction;
    const factor = <f32>1 / sqrt<f32>(max<f32>(variance, 0) + load<f32>(args, 12));
    const y = <usize>load<u32>(args, 24) + at;
    normaliseRow(y, x, mean + correction, factor, <usize>load<u32>(args, 16), <usize>load<u32>(args, 20), channels);
  }
}

// @ts-ignore: decorator
@inline
function scaled(weight: usize, dy: v128, i: usize): v128 {
  return weight ? f32x4.mul(v128.load(weight + i), dy) : dy;
}

/** dx of one row; adds dy (x - mean) / deviation to dweight and dy to dbias unless those are 0. */
function backwardRow(
  dx: usize, x: usize, dy: usize, dsum: usize, weight: usize, dweight: usize, dbias: usize, epsilon: f32, channels: i32,
): void {
  const bytes = <usize>channels << 2;
  const whole = <usize>(channels & ~3) << 2;
  const count = <f32>channels;
  const first = sumRow(x, channels) / count;
  const firsts = f32x4.splat(first);
  let differences = f32x4.splat(0);
  let squares = differences;
  let gradients = differences;
  let products = differences;
  for (let i: usize = 0; i < whole; i += 16) {
    const difference = f32x4.sub(v128.load(x + i), firsts);
    const gradient = scaled(weight, v128.load(dy + i), i);
    differences = f32x4.add(differences, difference);
    squares = madd(difference, difference, squares);
    gradients = f32x4.add(gradients, gradient);
    products = madd(difference, gradient, products);
  }
  let difference = sumLanes(differences);
  let square = sumLanes(squares);
  let gradient = sumLanes(gradients);
  let product = sumLanes(products);
  for (let i = whole; i < bytes; i += 4) {
    const d = load<f32>(x + i) - first;
    const g = load<f32>(dy + i) * (weight ? load<f32>(weight + i) : <f32>1);
    difference += d;
    square += d * d;
    gradient += g;
    product += d * g;
  }
  const correction = difference / count;
  const mean = first + correction;
  const factor = <f32>1 / sqrt<f32>(max<f32>(square / count - correction * correction, 0) + epsilon);
  const shift = gradient / count;
  const shared = factor * (product / count - correction * shift);
  const means = f32x4.splat(mean);
  const factors = f32x4.splat(factor);
  const shifts = f32x4.splat(shift);
  const shareds = f32x4.splat(shared);
  for (let i: usize = 0; i < whole; i += 16) {
    const g = v128.load(dy + i);
    const unit = f32x4.mul(f32x4.sub(v128.load(x + i), means), factors);
    const change = f32x4.mul(factors, nmadd(unit, shareds, f32x4.sub(scaled(weight, g, i), shifts)));
    v128.store(dx + i, dsum ? f32x4.add(change, v128.load(dsum + i)) : change);
    if (dweight) v128.store(dweight + i, madd(g, unit, v128.load(dweight + i)));
    if (dbias) v128.store(dbias + i, f32x4.add(g, v128.load(dbias + i)));
  }
  for (let i = whole; i < bytes; i += 4) {
    const g = load<f32>(dy + i);
    const unit = (load<f32>(x + i) - mean) * factor;
    const change = factor * (g * (weight ? load<f32>(weight + i) : <f32>1) - shift - unit * shared);
    store<f32>(dx + i, dsum ? change + load<f32>(dsum + i) : change);
    if (dweight) store<f32>(dweight + i, load<f32>(dweight + i) + g * unit);
    if (dbias) store<f32>(dbias + i, load<f32>(dbias + i) + g);
  }
}

/**
 * Gradients of {@link layerNorm}: dx, and the sums of the other gradients over each chunk of rows.
 *
 * Words: rows, channels, rank, chunk (rows), epsilon, weight or 0, dx, sums for the weight [chunks channels] or 0,
 * sums for the bias or 0, x, dy, dsum or 0, sizes, strides of x, dy and dsum.
 */
export function layerNormBackward(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args);
  const channels = load<i32>(args, 4);
  const rank = load<i32>(args, 8);
  const chunk = load<i32>(args, 12);
  const weightSums = <usize>load<u32>(args, 28);
  const biasSums = <usize>load<u32>(args, 32);
  const dsum = <usize>load<u32>(args, 44);
  const sizes = args + 48;
  const bytes = <usize>rank << 2;
  const chunks = (rows + chunk - 1) / chunk;
  const end = partStart(chunks, thread + 1, threads);
  for (let part = partStart(chunks, thread, threads); part < end; part++) {
    const at = <usize>(part * channels) << 2;
    const dweight = weightSums ? weightSums + at : 0;
    const dbias = biasSums ? biasSums + at : 0;
    if (dweight) memory.fill(dweight, 0, <usize>channels << 2);
    if (dbias) memory.fill(dbias, 0, <usize>channels << 2);
    const last = min((part + 1) * chunk, rows);
    for (let row = part * chunk; row < last; row++) {
      backwardRow(
        <usize>load<u32>(args, 24) + (<usize>(row * channels) << 2),
        <usize>load<u32>(args, 36) + rowOffset(row, rank, sizes, sizes + bytes),
        <usize>load<u32>(args, 40) + rowOffset(row, rank, sizes, sizes + 2 * bytes),
        dsum ? dsum + rowOffset(row, rank, sizes, sizes + 3 * bytes) : 0,
        <usize>load<u32>(args, 20), dweight, dbias, load<f32>(args, 16), channels,
      );
    }
  }
}
