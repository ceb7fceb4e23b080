import { ConfigError } from "../../tensor/errors.ts";

/** What a state remembers of its input: the weight over the past, and the functions that the past is expanded in. */
export type HippoMeasure = "legs" | "legt" | "lagt" | "fout" | "foud";

/** A system dx/dt = A x + B u; A is [size size] in row-major order, B [size]. */
export interface HippoSystem {
  readonly size: number;
  readonly A: Float64Array;
  readonly B: Float64Array;
}

const squareRoot = (n: number): number => Math.sqrt(2 * n + 1);

/** All of the past, weighted evenly, in Legendre polynomials. */
function legs(n: number, k: number): number {
  if (n < k) return 0;
  return n === k ? -(n + 1) : -squareRoot(n) * squareRoot(k);
}

/** A window of the past, in Legendre polynomials; time runs at half speed. */
function legt(n: number, k: number): number {
  const sign = n < k && (n - k) % 2 !== 0 ? -1 : 1;
  return -0.5 * squareRoot(n) * squareRoot(k) * sign;
}

/** The past with exponentially falling weight, in Laguerre polynomials. */
function lagt(n: number, k: number): number {
  if (n < k) return 0;
  return n === k ? -0.5 : -1;
}

/** What a sine and a cosine of the same frequency give each other: state 2f is the cosine, 2f + 1 the sine. */
function rotation(n: number, k: number): number {
  const isPair = n >> 1 === k >> 1 && n !== k;
  if (!isPair) return 0;
  return n > k ? n >> 1 : -(k >> 1);
}

function fourierInput(n: number): number {
  if (n % 2 !== 0) return 0;
  return n === 0 ? 1 : Math.SQRT2;
}

interface Measure {
  readonly A: (n: number, k: number) => number;
  readonly B: (n: number) => number;
}

const measures: Readonly<Record<HippoMeasure, Measure>> = {
  legs: { A: legs, B: squareRoot },
  legt: { A: legt, B: (n) => 0.5 * squareRoot(n) },
  lagt: { A: lagt, B: () => 1 },
  fout: { A: (n, k) => Math.PI * rotation(n, k) - fourierInput(n) * fourierInput(k), B: fourierInput },
  foud: { A: (n, k) => 2 * Math.PI * rotation(n, k) - (n === k ? 0.5 : 0), B: fourierInput },
};

/**
 * The HiPPO matrices of a measure: dx/dt = A x + B u keeps in x the coefficients of the past of u.
 *
 * - `legs`: Legendre polynomials over all of the past, scaled to it: A[n,k] = -sqrt((2n+1)(2k+1)) below the diagonal, -(n+1) on it
 * - `legt`: Legendre polynomials over a window of length 2
 * - `lagt`: Laguerre polynomials under exp(-t)
 * - `fout`: truncated Fourier series over a window of length 1 (`fourier` in some code)
 * - `foud`: Fourier series under exp(-t)
 *
 * @param size - of the state; even for the Fourier measures
 * @returns A [size size] and B [size] in float64
 * @throws ConfigError if the measure is not known or the size does not suit it
 * @see Gu et al. 2020, "HiPPO", appendix D; Gu et al. 2022, "How to Train Your HiPPO", sections 3 and 4
 */
export function hippo(measure: HippoMeasure, size: number): HippoSystem {
  const own = measures[measure] as Measure | undefined;
  if (!own) {
    throw new ConfigError(
      `hippo: measure must be one of ${Object.keys(measures).join(", ")}; got ${measure}; choose one`,
      { measure },
    );
  }
  const isFourier = measure === "fout" || measure === "foud";
  if (!Number.isInteger(size) || size < 1 || (isFourier && size % 2 !== 0)) {
    const wanted = isFourier ? "a positive even integer" : "a positive integer";
    throw new ConfigError(`hippo: size of ${measure} must be ${wanted}; got ${size}; choose another`, {
      measure,
      size,
    });
  }
  const A = new Float64Array(size * size);
  for (let n = 0; n < size; n++) for (let k = 0; k < size; k++) A[n * size + k] = own.A(n, k);
  return { size, A, B: Float64Array.from({ length: size }, (_, n) => own.B(n)) };
}
