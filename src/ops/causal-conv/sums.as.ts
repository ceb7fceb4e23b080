// Sums of the causal convolution's weight and bias gradients, which no two threads add to at once.
import { arg, BATCH, CHANNELS, OWN, pointer, quadsOf, storeLanes, WINDOW } from "./common.as";

const D_WEIGHT: usize = OWN + 20;
const D_BIAS: usize = OWN + 24;
const SUMS: usize = OWN + 32; // [batch spans quads] of [window + 1][4]
export const SPANS: usize = OWN + 36; // runs of tiles that add to the same sums

/** Sums [window + 1][4] of a quad over a span: gradients of its weights and bias. */
export function sumsOf(args: usize, batch: i32, span: i32, quad: i32): usize {
  const place = (batch * arg(args, SPANS) + span) * quadsOf(args) + quad;
  return pointer(args, SUMS) + (<usize>place * (arg(args, WINDOW) + 1) << 4);
}

/** Sums over batch and spans, in order, as [channels window] and [channels]. */
export function reduceQuad(args: usize, quad: i32): void {
  const window = arg(args, WINDOW);
  const channel = quad << 2;
  const lanes = min(4, arg(args, CHANNELS) - channel);
  const spans = arg(args, SPANS);
  for (let k = 0; k <= window; k++) {
    let sum = f32x4.splat(0);
    for (let row = 0; row < arg(args, BATCH) * spans; row++) {
      sum = f32x4.add(sum, v128.load(sumsOf(args, row / spans, row % spans, quad) + (<usize>k << 4)));
    }
    if (k == window) {
      if (pointer(args, D_BIAS) != 0) storeLanes(pointer(args, D_BIAS) + (<usize>channel << 2), sum, lanes);
      continue;
    }
    const to = pointer(args, D_WEIGHT) + (<usize>(channel * window + k) << 2);
    store<f32>(to, f32x4.extract_lane(sum, 0));
    if (lanes > 1) store<f32>(to + (<usize>window << 2), f32x4.extract_lane(sum, 1));
    if (lanes > 2) store<f32>(to + (<usize>window << 3), f32x4.extract_lane(sum, 2));
    if (lanes > 3) store<f32>(to + <usize>window * 12, f32x4.extract_lane(sum, 3));
  }
}
