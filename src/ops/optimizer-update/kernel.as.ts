// Updates of optimizers, in place: every element on its own, so that any number of threads gives the same bits.
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd, sumLanes } from "../../backends/wasm/assembly/simd.as";

// @ts-ignore: decorator
@inline
function loadSome(from: usize, count: i32): v128 {
  return count >= 4 ? v128.load(from) : loadPartial(from, count);
}

// @ts-ignore: decorator
@inline
function storeSome(to: usize, value: v128, count: i32): void {
  if (count >= 4) v128.store(to, value);
  else storePartial(to, value, count);
}

/** What multiplies the gradient. Words: address of the scale or 0. */
// @ts-ignore: decorator
@inline
function scaleAt(address: usize): v128 {
  return address == 0 ? f32x4.splat(1) : v128.load32_splat(address);
}

// @ts-ignore: decorator
@inline
function skipped(address: usize): bool {
  return address != 0 && load<i32>(address) != 0;
}

/** First vector of a thread's part, in elements. */
// @ts-ignore: decorator
@inline
function firstOf(count: i32, thread: i32, threads: i32): i32 {
  return min(count, partStart((count + 3) >> 2, thread, threads) << 2);
}

/**
 * AdamW. Words: count, scale or 0, skip or 0, parameter, gradient, mean, square, then as floats beta1, 1 - beta1, beta2,
 * 1 - beta2, kept (1 - learning rate x decay), learning rate / mean correction, 1 / sqrt(square correction), epsilon.
 */
export function adamwUpdate(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args);
  if (skipped(<usize>load<u32>(args, 8))) return;
  const scale = scaleAt(<usize>load<u32>(args, 4));
  const parameter = <usize>load<u32>(args, 12);
  const gradient = <usize>load<u32>(args, 16);
  const mean = <usize>load<u32>(args, 20);
  const square = <usize>load<u32>(args, 24);
  const beta1 = v128.load32_splat(args, 28);
  const rest1 = v128.load32_splat(args, 32);
  const beta2 = v128.load32_splat(args, 36);
  const rest2 = v128.load32_splat(args, 40);
  const kept = v128.load32_splat(args, 44);
  const rate = v128.load32_splat(args, 48);
  const correction = v128.load32_splat(args, 52);
  const epsilon = v128.load32_splat(args, 56);
  const end = firstOf(count, thread + 1, threads);
  for (let i = firstOf(count, thread, threads); i < end; i += 4) {
    const at = <usize>i << 2;
    const left = count - i;
    const g = f32x4.mul(loadSome(gradient + at, left), scale);
    const m = madd(rest1, g, f32x4.mul(beta1, loadSome(mean + at, left)));
    const v = madd(f32x4.mul(rest2, g), g, f32x4.mul(beta2, loadSome(square + at, left)));
    storeSome(mean + at, m, left);
    storeSome(square + at, v, left);
    const denominator = madd(f32x4.sqrt(v), correction, epsilon);
    const p = f32x4.mul(loadSome(parameter + at, left), kept);
    storeSome(parameter + at, f32x4.sub(p, f32x4.div(f32x4.mul(rate, m), denominator)), left);
  }
}

/** Gradient descent. Words: count, scale or 0, skip or 0, parameter, gradient, velocity or 0, momentum, decay, rate. */
export function sgdUpdate(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args);
  if (skipped(<usize>load<u32>(args, 8))) return;
  const scale = scaleAt(<usize>load<u32>(args, 4));
  const parameter = <usize>load<u32>(args, 12);
  const gradient = <usize>load<u32>(args, 16);
  const velocity = <usize>load<u32>(args, 20);
  const momentum = v128.load32_splat(args, 24);
  const decay = v128.load32_splat(args, 28);
  const rate = v128.load32_splat(args, 32);
  const end = firstOf(count, thread + 1, threads);
  for (let i = firstOf(count, thread, threads); i < end; i += 4) {
    const at = <usize>i << 2;
    const left = count - i;
    const p = loadSome(parameter + at, left);
    let g = madd(decay, p, f32x4.mul(loadSome(gradient + at, left), scale));
    if (velocity != 0) {
      g = madd(momentum, loadSome(velocity + at, left), g);
      storeSome(velocity + at, g, left);
    }
    storeSome(parameter + at, nmadd(rate, g, p), left);
  }
}

/** Moving average. Words: count, average, x, decay, 1 - decay. */
export function averageUpdate(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args);
  const average = <usize>load<u32>(args, 4);
  const x = <usize>load<u32>(args, 8);
  const decay = v128.load32_splat(args, 12);
  const rest = v128.load32_splat(args, 16);
  const end = firstOf(count, thread + 1, threads);
  for (let i = firstOf(count, thread, threads); i < end; i += 4) {
    const at = <usize>i << 2;
    const left = count - i;
    const kept = f32x4.mul(decay, loadSome(average + at, left));
    storeSome(average + at, madd(rest, loadSome(x + at, left), kept), left);
  }
}

/** Elements whose squares are summed together, whatever the number of threads. */
const CHUNK: i32 = 4096;

/** Sums of squares of chunks. Words: count, x, sums. */
export function squareChunks(args: usize, thread: i32, threads: i32): void {
  const count = load<i32>(args);
  const x = <usize>load<u32>(args, 4);
  const sums = <usize>load<u32>(args, 8);
  const chunks = (count + CHUNK - 1) / CHUNK;
  const last = partStart(chunks, thread + 1, threads);
  for (let chunk = partStart(chunks, thread, threads); chunk < last; chunk++) {
    let sum = f32x4.splat(0);
    const end = min(count, (chunk + 1) * CHUNK);
    for (let i = chunk * CHUNK; i < end; i += 4) {
      const value = loadSome(x + (<usize>i << 2), end - i);
      sum = madd(value, value, sum);
    }
    store<f32>(sums + (<usize>chunk << 2), sumLanes(sum));
  }
}

/** Adds sums of chunks to a total, in order and in double precision. Words: chunks, sums, total. */
export function addChunkSums(args: usize, thread: i32, threads: i32): void {
  if (thread > 0) return;
  const chunks = load<i32>(args);
  const sums = <usize>load<u32>(args, 4);
  const total = <usize>load<u32>(args, 8);
  let sum: f64 = load<f32>(total);
  for (let chunk = 0; chunk < chunks; chunk++) sum += load<f32>(sums + (<usize>chunk << 2));
  store<f32>(total, <f32>sum);
}
