import { cauchy } from "../../ops/cauchy/index.ts";
import { add, atan, div, log1p, mul, sqrt, square, sub } from "../../ops/elementwise/index.ts";
import { inverseRealFourier } from "../../ops/fourier/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import { vandermonde } from "../../ops/vandermonde/index.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import {
  type ComplexTensor,
  complexDiv,
  complexExpm1,
  complexMul,
  complexOf,
  complexSub,
  conjugate,
  joined,
  plusReal,
  scaled,
} from "./complex.ts";
import type { S4System } from "./system.ts";

/** How a continuous system becomes one of steps. */
export type Discretization = "zoh" | "bilinear";

/** The step of a diagonal system: x[t] = exp(logA) x[t-1] + B u[t]. */
export interface DiscreteDiagonal {
  readonly logA: ComplexTensor;
  readonly B: ComplexTensor;
}

/**
 * Zero-order hold: A-bar = exp(dt A), B-bar = B (exp(dt A) - 1) / A; bilinear: A-bar = (1 + dt A / 2) / (1 - dt A / 2),
 * B-bar = dt B / (1 - dt A / 2).
 */
export function discretizeDiagonal({ A, B, dt }: S4System, discretization: Discretization): DiscreteDiagonal {
  const x = scaled(A, dt);
  const times = (factor: ComplexTensor): ComplexTensor => (B ? complexMul(B, factor) : factor);
  if (discretization === "zoh") return { logA: x, B: times(complexDiv(complexExpm1(x), A)) };
  const half = scaled(x, 0.5);
  const below = plusReal(scaled(half, -1), 1);
  return { logA: logOfBilinear(half), B: times(scaled(complexDiv(plusReal(scaled(x, 0), 1), below), dt)) };
}

/**
 * log((1 + y) / (1 - y)), principal: its real part from |1 + y|^2 / |1 - y|^2 = 1 + 4 Re y / |1 - y|^2, its imaginary part as twice the
 * angle of half of (1 + y) conj(1 - y) = 1 - |y|^2 + 2 i Im y.
 */
function logOfBilinear({ re, im }: ComplexTensor): ComplexTensor {
  const below = add(square(sub(1, re)), square(im));
  const along = sub(1, add(square(re), square(im)));
  const across = mul(im, 2);
  const size = sqrt(add(square(along), square(across)));
  return {
    re: mul(log1p(div(mul(re, 4), below)), 0.5),
    im: mul(atan(div(across, add(along, size))), 2),
  };
}

/**
 * The convolution kernel of a diagonal system, K[t] = 2 Re sum over n of C[n] A-bar[n]^t B-bar[n].
 *
 * @returns by channel: [length dModel]
 * @see Gu, Gupta, Goel & Ré 2022 (S4D), section 3
 */
export function diagonalKernels(system: S4System, length: number, discretization: Discretization): Tensor[] {
  const { logA, B } = discretizeDiagonal(system, discretization);
  const x = joined(logA);
  return system.C.map((C) => vandermonde(joined(complexMul(C, B)), x, { length }));
}

/**
 * The convolution kernel of a diagonal plus low-rank system under the bilinear transform, from its values at the roots of unity.
 *
 * @param kernelLength - that C is tuned to, C (1 - A-bar^kernelLength); the kernel is cut to `length`
 * @returns by channel: [length dModel]
 * @see Gu, Goel & Ré 2021 (S4), algorithm 1
 */
export function lowRankKernels(system: S4System, length: number, kernelLength: number): Tensor[] {
  const { A, B, C, P, dt } = system;
  const w = joined(scaled(A, dt));
  const left = [B!, ...P];
  return C.map((own) => {
    const right = [own, ...P.map(conjugate)];
    const products = left.flatMap((a) => right.map((b) => joined(scaled(complexMul(a, b), dt))));
    const v = concat(
      products.map((product) => reshape(product, [1, ...product.shape])),
      0,
    );
    const spectrum = bordered(cauchy(v, w, kernelLength), left.length, kernelLength);
    return slice(inverseRealFourier(spectrum, kernelLength), { axis: 0, end: length });
  });
}

/**
 * The spectrum of the kernel from {@link cauchy} sums q of every left with every right vector, by Woodbury's formula:
 * (c + i s) (q00 - c q01 (1 + c q11)^-1 q10), with the low-rank vectors eliminated one after the other.
 */
function bordered(q: Tensor, border: number, kernelLength: number): Tensor {
  const { c, s } = halfAngles(q, kernelLength);
  const [, ...sizes] = q.shape;
  const rest = Array.from({ length: border ** 2 }, (_, i) =>
    complexOf(reshape(slice(q, { axis: 0, start: i, end: i + 1 }), sizes)),
  );
  for (let k = border - 1; k > 0; k--) {
    const pivot = plusReal(scaled(rest[k * border + k]!, c), 1);
    for (let i = 0; i < k; i++) {
      const factor = complexDiv(scaled(rest[i * border + k]!, c), pivot);
      for (let j = 0; j < k; j++) {
        rest[i * border + j] = complexSub(rest[i * border + j]!, complexMul(factor, rest[k * border + j]!));
      }
    }
  }
  return joined(complexMul(rest[0]!, { re: c, im: s }));
}

/** Cosines and sines of pi j / length by node, [nodes 1 1]; in the middle of an even length the cosine is exactly 0. */
function halfAngles({ device, dtype, shape }: Tensor, length: number): { c: Tensor; s: Tensor } {
  const nodes = shape[1]!;
  const angles = Array.from({ length: nodes }, (_, j) => (Math.PI * j) / length);
  const at = (values: number[]): Tensor => tensor(Float64Array.from(values), [nodes, 1, 1], { device, dtype });
  return { c: at(angles.map((angle, j) => (2 * j === length ? 0 : Math.cos(angle)))), s: at(angles.map(Math.sin)) };
}
