import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { cauchyOp } from "./operations.ts";

/**
 * Cauchy sums at the nodes of the spectrum of a real sequence, poles and residues in conjugate pairs.
 *
 *     q[p, j, h] = sum over n of v[p, h, n] / (2 i s - c w[h, n]) + conj(v[p, h, n]) / (2 i s - c conj(w[h, n]))
 *     c = cos(pi j / length),  s = sin(pi j / length)
 *
 * With z = 2 (1 - omega) / (1 + omega) = 2 i s / c, omega = exp(-2 pi i j / length), the usual sum over v / (z - w) is c q. In this form
 * nothing is infinite at omega = -1, where c = 0.
 *
 * @param v - [products channels state 2], complex numbers as (real, imaginary)
 * @param w - [channels state 2], real parts below 0
 * @param length - of the sequence; there are floor(length / 2) + 1 nodes
 * @returns q [products nodes channels 2]
 * @throws ShapeError if shapes disagree; ConfigError if the length cannot be
 * @see Gu, Goel & Ré 2021 (S4), section 3.2 and appendix C.3
 */
export function cauchy(v: Tensor, w: Tensor, length: number): Tensor {
  return apply(cauchyOp, { v, w }, { length })["q"]!;
}
