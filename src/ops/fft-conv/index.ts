import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { fftConvOp } from "./operations.ts";

/** Options of {@link fftConv}. */
export interface FftConvOptions {
  /** [taps channels] kernel over later steps: after[j] multiplies u[t + 1 + j]. Default none: the convolution is causal. */
  readonly after?: Tensor | undefined;
  /** [channels] what u gives y at the same step; default nothing. */
  readonly D?: Tensor | undefined;
}

/**
 * Convolution over time with kernels as long as the sequence, each channel with its own.
 *
 *     y[b, t, h] = sum over j from 0 to min(t, taps - 1) of k[j, h] u[b, t - j, h]
 *                + sum over j of after[j, h] u[b, t + 1 + j, h] + D[h] u[b, t, h]
 *
 * Fourier transforms of twice the length make it a product: about length log(length) operations a channel. Taps beyond the
 * sequence do not count, and get no gradient.
 *
 * @param u - [batch length channels]
 * @param k - [taps channels]
 * @param options - see {@link FftConvOptions}
 * @returns y [batch length channels]; in float32 errors are about 1e-6 of the product of the norms of u and k
 * @throws ShapeError if shapes disagree
 * @see Gu, Goel & Ré 2021 (S4), section 2.4
 */
export function fftConv(u: Tensor, k: Tensor, options: FftConvOptions = {}): Tensor {
  return apply(fftConvOp, { u, k, after: options.after, D: options.D })["y"]!;
}
