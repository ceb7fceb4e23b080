// One step of a state space: vectors hold real and imaginary parts of two states of a feature, which lie together in memory.
import { loadPartial, storePartial } from "../../backends/wasm/assembly/partial.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd, sumLanes } from "../../backends/wasm/assembly/simd.as";

const LOW_RANK_ROWS: i32 = 5;

// @ts-ignore: decorator
@inline
function load4(at: usize, lanes: i32): v128 {
  return lanes == 4 ? v128.load(at) : loadPartial(at, lanes);
}

// @ts-ignore: decorator
@inline
function store4(at: usize, x: v128, lanes: i32): void {
  if (lanes == 4) v128.store(at, x);
  else storePartial(at, x, lanes);
}

/** a b of two pairs of complex numbers. */
// @ts-ignore: decorator
@inline
function product(a: v128, b: v128): v128 {
  const re = i8x16.shuffle(a, a, 0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11);
  const im = i8x16.shuffle(a, a, 4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15);
  const turned = f32x4.mul(i8x16.shuffle(b, b, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11), f32x4(-1, 1, -1, 1));
  return madd(im, turned, f32x4.mul(re, b));
}

/** Sum of the products of floats: Re sum(conj(a) b) of complex ones. */
function inner(a: usize, b: usize, floats: i32): f32 {
  let sum = f32x4.splat(0);
  for (let n = 0; n < floats; n += 4) {
    const lanes = min(4, floats - n);
    sum = madd(load4(a + (<usize>n << 2), lanes), load4(b + (<usize>n << 2), lanes), sum);
  }
  return sumLanes(sum);
}

/** Re sum(a b). */
function innerUnconjugated(a: usize, b: usize, floats: i32): f32 {
  let sum = f32x4.splat(0);
  for (let n = 0; n < floats; n += 4) {
    const lanes = min(4, floats - n);
    const flipped = f32x4.mul(load4(b + (<usize>n << 2), lanes), f32x4(1, -1, 1, -1));
    sum = madd(load4(a + (<usize>n << 2), lanes), flipped, sum);
  }
  return sumLanes(sum);
}

/** x' of one feature; `system` is the feature's part of A, the other rows are `row` bytes apart. */
function advance(next: usize, x: usize, system: usize, row: usize, floats: i32, given: f32, isLowRank: bool): void {
  const u = f32x4.splat(given);
  const before = f32x4.splat(isLowRank ? 2 * inner(system + 3 * row, x, floats) : 0);
  for (let n = 0; n < floats; n += 4) {
    const lanes = min(4, floats - n);
    const at = <usize>n << 2;
    const a = load4(system + at, lanes);
    let after = madd(load4(system + row + at, lanes), u, product(a, load4(x + at, lanes)));
    if (isLowRank) {
      after = nmadd(load4(system + 3 * row + at, lanes), before, after);
      after = product(load4(system + 2 * row + at, lanes), after);
    }
    store4(next + at, after, lanes);
  }
  if (!isLowRank) return;
  const through = f32x4.splat(2 * inner(system + 3 * row, next, floats));
  for (let n = 0; n < floats; n += 4) {
    const lanes = min(4, floats - n);
    const at = <usize>n << 2;
    store4(next + at, nmadd(load4(system + 4 * row + at, lanes), through, load4(next + at, lanes)), lanes);
  }
}

/** Arguments: u, state, system, C, D, y, next, batch, features, pairs, outputs, rows of the system. */
export function stateSpaceStep(args: usize, thread: i32, threads: i32): void {
  const features = load<i32>(args, 32);
  const floats = load<i32>(args, 36) << 1;
  const outputs = load<i32>(args, 40);
  const isLowRank = load<i32>(args, 44) == LOW_RANK_ROWS;
  const bytes = <usize>floats << 2;
  const row = <usize>features * bytes;
  const items = load<i32>(args, 28) * features;
  const end = partStart(items, thread + 1, threads);
  for (let item = partStart(items, thread, threads); item < end; item++) {
    const feature = item % features;
    const batch = item / features;
    const given = load<f32>(<usize>load<u32>(args) + (<usize>item << 2));
    const next = <usize>load<u32>(args, 24) + <usize>item * bytes;
    const x = <usize>load<u32>(args, 4) + <usize>item * bytes;
    advance(next, x, <usize>load<u32>(args, 8) + <usize>feature * bytes, row, floats, given, isLowRank);
    for (let output = 0; output < outputs; output++) {
      const own = output * features + feature;
      const seen = innerUnconjugated(<usize>load<u32>(args, 12) + <usize>own * bytes, next, floats);
      const skip = load<f32>(<usize>load<u32>(args, 16) + (<usize>own << 2));
      const to = <usize>((batch * outputs + output) * features + feature) << 2;
      store<f32>(<usize>load<u32>(args, 20) + to, 2 * seen + skip * given);
    }
  }
}
