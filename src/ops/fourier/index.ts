import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { inverseRealFourierOp, realFourierOp } from "./operations.ts";

/**
 * Fourier transform of real sequences over the first axis, of any length.
 *
 *     spectrum[j, h] = sum over t of x[t, h] exp(-2 pi i j t / length),   j from 0 to floor(length / 2)
 *
 * @param x - [length channels]
 * @returns spectrum [floor(length / 2) + 1, channels, 2], complex numbers as (real, imaginary)
 * @throws ShapeError if x does not have two axes, or no time step
 */
export function realFourier(x: Tensor): Tensor {
  return apply(realFourierOp, { x }, { adjoint: false })["spectrum"]!;
}

/**
 * Real sequences from their spectrum; undoes {@link realFourier}.
 *
 * The imaginary parts at frequency 0 and, for an even length, at length / 2 do not count.
 *
 * @param spectrum - [floor(length / 2) + 1, channels, 2]
 * @param length - of the sequences
 * @returns x [length channels]
 * @throws ConfigError if the spectrum has another number of nodes
 */
export function inverseRealFourier(spectrum: Tensor, length: number): Tensor {
  return apply(inverseRealFourierOp, { spectrum }, { length, adjoint: false })["x"]!;
}
