// Fourier transforms of real sequences of any length. Where that is no power of two, a transform is a convolution with a chirp:
// j t = (j^2 + t^2 - (j - t)^2) / 2 (Bluestein's algorithm), and convolutions have transforms of powers of two.
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd, nmadd } from "../../backends/wasm/assembly/simd.as";
import { loadLanes, storeTurn, transformBackward, transformForward } from "./transform.as";

/**
 * The chirp exp(-pi i t^2 / length), and the spectrum of its conjugate over count.
 * Arguments: chirp [length 2], length, spectrum [count 2], count, turns, scratch of 32 bytes times count.
 */
export function fourierChirp(args: usize, thread: i32, threads: i32): void {
  // the last thread has the least to do elsewhere
  if (thread != threads - 1) return;
  const chirp = <usize>load<u32>(args);
  const length = load<i32>(args, 4);
  const spectrum = <usize>load<u32>(args, 8);
  const count = load<i32>(args, 12);
  const work = <usize>load<u32>(args, 20);
  memory.fill(work, 0, <usize>count << 5);
  for (let t = 0; t < length; t++) {
    storeTurn(chirp + (<usize>t << 3), (<i64>t * t) % (2 * length), 2 * length);
    const re = v128.load_splat<f32>(chirp + (<usize>t << 3));
    const im = f32x4.neg(v128.load_splat<f32>(chirp + (<usize>t << 3), 4));
    const back = t == 0 ? 0 : count - t;
    v128.store(work + (<usize>t << 5), re);
    v128.store(work + (<usize>t << 5), im, 16);
    v128.store(work + (<usize>back << 5), re);
    v128.store(work + (<usize>back << 5), im, 16);
  }
  transformForward(work, count, load<u32>(args, 16));
  const scale: f32 = <f32>1 / <f32>count;
  for (let j = 0; j < count; j++) {
    store<f32>(spectrum + (<usize>j << 3), scale * load<f32>(work + (<usize>j << 5)));
    store<f32>(spectrum + (<usize>j << 3), scale * load<f32>(work + (<usize>j << 5), 16), 4);
  }
}

/** Multiplies an element by a number. */
// @ts-ignore: decorator
@inline
function turnElement(at: usize, by: usize): void {
  const re = v128.load(at);
  const im = v128.load(at, 16);
  const c = v128.load_splat<f32>(by);
  const s = v128.load_splat<f32>(by, 4);
  v128.store(at, nmadd(im, s, f32x4.mul(re, c)));
  v128.store(at, madd(im, c, f32x4.mul(re, s)), 16);
}

/** Leaves the transform of `length` elements at `work` where {@link placeOf} says. */
function transform(work: usize, length: i32, count: i32, turns: usize, chirp: usize, spectrum: usize): void {
  if (chirp == 0) return transformForward(work, count, turns);
  for (let t = 0; t < length; t++) turnElement(work + (<usize>t << 5), chirp + (<usize>t << 3));
  memory.fill(work + (<usize>length << 5), 0, <usize>(count - length) << 5);
  transformForward(work, count, turns);
  for (let j = 0; j < count; j++) turnElement(work + (<usize>j << 5), spectrum + (<usize>j << 3));
  transformBackward(work, count, turns);
  for (let j = 0; j < length; j++) turnElement(work + (<usize>j << 5), chirp + (<usize>j << 3));
}

/** Where the j-th number of a transform lies. */
// @ts-ignore: decorator
@inline
function placeOf(work: usize, j: i32, count: i32, chirp: usize): usize {
  if (chirp != 0 || count == 1) return work + (<usize>j << 5);
  let reversed: u32 = 0;
  for (let bit = 1; bit < count; bit <<= 1) reversed = (reversed << 1) | (j & bit ? 1 : 0);
  return work + (<usize>reversed << 5);
}

/** How a number of the spectrum is scaled: by its share of a sequence, alone or with its conjugate. */
// @ts-ignore: decorator
@inline
function shareOf(j: i32, length: i32, shares: bool): f32 {
  if (!shares) return 1;
  return (j == 0 || 2 * j == length ? <f32>1 : <f32>2) / <f32>length;
}

/**
 * Arguments: x, its row stride in bytes, spectrum [nodes channels 2], length, channels, count, turns, chirp or 0, its spectrum,
 * scratch of 32 bytes times count a thread, whether to scale by shares.
 */
export function realFourier(args: usize, thread: i32, threads: i32): void {
  const stride = <usize>load<u32>(args, 4);
  const length = load<i32>(args, 12);
  const channels = load<i32>(args, 16);
  const count = load<i32>(args, 20);
  const chirp = <usize>load<u32>(args, 28);
  const work = <usize>load<u32>(args, 36) + <usize>thread * (<usize>count << 5);
  const groups = (channels + 3) >> 2;
  const end = partStart(groups, thread + 1, threads);
  for (let group = partStart(groups, thread, threads); group < end; group++) {
    const own = channels - (group << 2);
    const x = <usize>load<u32>(args) + (<usize>group << 4);
    for (let t = 0; t < length; t++) {
      v128.store(work + (<usize>t << 5), loadLanes(x + <usize>t * stride, own));
      v128.store(work + (<usize>t << 5), f32x4.splat(0), 16);
    }
    transform(work, length, count, load<u32>(args, 24), chirp, load<u32>(args, 32));
    for (let j = 0; j <= length >> 1; j++) {
      const from = placeOf(work, j, count, chirp);
      const to = <usize>load<u32>(args, 8) + (<usize>(j * channels + (group << 2)) << 3);
      const share = shareOf(j, length, load<i32>(args, 40) != 0);
      for (let lane = 0; lane < min(4, own); lane++) {
        store<f32>(to + (<usize>lane << 3), share * load<f32>(from + (<usize>lane << 2)));
        store<f32>(to + (<usize>lane << 3), share * load<f32>(from + (<usize>lane << 2), 16), 4);
      }
    }
  }
}

/** Arguments: spectrum, its strides of nodes and channels in bytes, x [length channels], then as realFourier from the length on. */
export function inverseRealFourier(args: usize, thread: i32, threads: i32): void {
  const length = load<i32>(args, 16);
  const channels = load<i32>(args, 20);
  const count = load<i32>(args, 24);
  const chirp = <usize>load<u32>(args, 32);
  const work = <usize>load<u32>(args, 40) + <usize>thread * (<usize>count << 5);
  const groups = (channels + 3) >> 2;
  const end = partStart(groups, thread + 1, threads);
  for (let group = partStart(groups, thread, threads); group < end; group++) {
    const own = min(4, channels - (group << 2));
    memory.fill(work, 0, <usize>length << 5);
    for (let j = 0; j <= length >> 1; j++) {
      const share = shareOf(j, length, load<i32>(args, 44) != 0);
      let from = <usize>load<u32>(args) + <usize>j * load<u32>(args, 4) + <usize>(group << 2) * load<u32>(args, 8);
      // the conjugate, so that a transform forward goes back
      for (let lane = 0; lane < own; lane++) {
        store<f32>(work + (<usize>j << 5) + (<usize>lane << 2), share * load<f32>(from));
        store<f32>(work + (<usize>j << 5) + (<usize>lane << 2), -share * load<f32>(from, 4), 16);
        from += load<u32>(args, 8);
      }
    }
    transform(work, length, count, load<u32>(args, 28), chirp, load<u32>(args, 36));
    for (let t = 0; t < length; t++) {
      const from = placeOf(work, t, count, chirp);
      const to = <usize>load<u32>(args, 12) + (<usize>(t * channels + (group << 2)) << 2);
      memory.copy(to, from, <usize>own << 2);
    }
  }
}
