// One step of the convolution: every sample of the state moves up one place as it is weighed.
import { silu } from "../../backends/wasm/assembly/math.as";
import { partStart } from "../../backends/wasm/assembly/partition.as";
import { madd } from "../../backends/wasm/assembly/simd.as";
import { loadLanes, storeLanes } from "./common.as";

/** Weights of one place in the window, of up to four channels `stride` bytes apart. */
// @ts-ignore: decorator
@inline
function loadWeights(from: usize, stride: usize, lanes: i32): v128 {
  let w = v128.load32_zero(from);
  if (lanes > 1) w = f32x4.replace_lane(w, 1, load<f32>(from + stride));
  if (lanes > 2) w = f32x4.replace_lane(w, 2, load<f32>(from + 2 * stride));
  if (lanes > 3) w = f32x4.replace_lane(w, 3, load<f32>(from + 3 * stride));
  return w;
}

/**
 * One step of the convolution, the state in place.
 *
 * Words: batch, channels, window, whether SiLU follows, x, its batch stride in bytes, weight, bias or 0, state, y.
 */
export function convUpdate(args: usize, thread: i32, threads: i32): void {
  const quads = (load<i32>(args, 4) + 3) >> 2;
  const items = load<i32>(args) * quads;
  convUpdateRange(args, partStart(items, thread, threads), partStart(items, thread + 1, threads));
}

/** The same for vectors of four channels, counted through all sequences. */
export function convUpdateRange(args: usize, first: i32, end: i32): void {
  const channels = load<i32>(args, 4);
  const window = load<i32>(args, 8);
  const activate = load<i32>(args, 12);
  const bias = <usize>load<u32>(args, 28);
  const quads = (channels + 3) >> 2;
  const rowBytes = <usize>channels << 2;
  for (let item = first; item < end; item++) {
    const batch = item / quads;
    const channel = (item % quads) << 2;
    const lanes = min(4, channels - channel);
    const at = <usize>channel << 2;
    const weight = <usize>load<u32>(args, 24) + at * window;
    const x = loadLanes(<usize>load<u32>(args, 16) + <usize>batch * load<u32>(args, 20) + at, lanes);
    let place = <usize>load<u32>(args, 32) + <usize>(batch * (window - 1)) * rowBytes + at;
    let s = bias ? loadLanes(bias + at, lanes) : f32x4.splat(0);
    for (let k = 0; k < window - 1; k++) {
      const sample = loadLanes(place, lanes);
      s = madd(loadWeights(weight + (<usize>k << 2), <usize>window << 2, lanes), sample, s);
      storeLanes(place, k < window - 2 ? loadLanes(place + rowBytes, lanes) : x, lanes);
      place += rowBytes;
    }
    s = madd(loadWeights(weight + (<usize>(window - 1) << 2), <usize>window << 2, lanes), x, s);
    storeLanes(<usize>load<u32>(args, 36) + <usize>batch * rowBytes + at, activate ? silu(s) : s, lanes);
  }
}
