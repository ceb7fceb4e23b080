import { ConfigError } from "../../tensor/errors.ts";
import { hermitianEigen } from "./hermitian-eigen.ts";
import { type HippoMeasure, hippo } from "./measures.ts";

/**
 * A HiPPO system in the basis of the eigenvectors of its normal part: A = V (diag(Lambda) - sum over r of P[r] P[r]*) V*.
 *
 * Eigenvalues come in conjugate pairs; only the half with negative imaginary part is here. Complex numbers are pairs.
 */
export interface NormalPlusLowRank {
  /** [half 2], imaginary parts ascending. */
  readonly Lambda: Float64Array;
  /** [rank half 2] */
  readonly P: Float64Array;
  /** [half 2] */
  readonly B: Float64Array;
  /** [size half 2] */
  readonly V: Float64Array;
  readonly half: number;
  readonly rank: number;
}

/** Least rank of what makes A normal. */
const leastRank: Readonly<Record<HippoMeasure, number>> = { legs: 1, legt: 2, lagt: 1, fout: 1, foud: 0 };

/** Row r of what is added to A, as P[r] P[r]^T, to make it normal. */
function correction(measure: HippoMeasure, r: number, n: number): number {
  if (r >= leastRank[measure]) return 0;
  if (measure === "legs") return Math.sqrt(n + 0.5);
  if (measure === "lagt") return Math.SQRT1_2;
  if (measure === "legt") return n % 2 === r ? 0 : Math.sqrt(n + 0.5);
  if (n % 2 !== 0) return 0;
  return n === 0 ? 1 : Math.SQRT2;
}

/**
 * Normal plus low rank: S4's form of a HiPPO matrix. A + sum of P[r] P[r]^T = c I + S with S skew, so that the Hermitian -i S has an
 * orthonormal basis of eigenvectors V; Lambda = c + i w for its eigenvalues w, and P and B are V* P and V* B.
 *
 * @param size - of the state, even
 * @param rank - default the least that the measure needs (legs 1, lagt 1, fout 1, legt 2, foud 0); what is beyond that is zero
 * @returns eigenvectors with a real first element (see {@link hermitianEigen}): the phase is free, and fixed like that
 * @throws ConfigError if the size is odd or the rank too small
 * @see Gu, Goel & Ré 2021 (S4), theorem 1 and appendix C
 */
export function normalPlusLowRank(
  measure: HippoMeasure,
  size: number,
  rank: number = leastRank[measure],
): NormalPlusLowRank {
  const { A, B } = hippo(measure, size);
  if (size % 2 !== 0) {
    throw new ConfigError(`normalPlusLowRank: size must be even; got ${size}; add one`, { size });
  }
  if (rank < leastRank[measure]) {
    throw new ConfigError(
      `normalPlusLowRank: rank of ${measure} must be at least ${leastRank[measure]}; got ${rank}; raise it`,
      { measure, rank },
    );
  }
  const half = size / 2;
  const P = Array.from({ length: rank }, (_, r) =>
    Float64Array.from({ length: size }, (_, n) => correction(measure, r, n)),
  );
  const hermitian = new Float64Array(2 * size * size);
  let diagonal = 0;
  for (let n = 0; n < size; n++) {
    for (let k = 0; k < size; k++) {
      const normal = A[n * size + k]! + P.reduce((sum, row) => sum + row[n]! * row[k]!, 0);
      if (n === k) diagonal += normal / size;
      else hermitian[2 * (n * size + k) + 1] = -normal;
    }
  }
  const { values, vectors } = hermitianEigen(hermitian, size);
  const V = firstColumns(vectors, size, half);
  if (Math.abs(values[half - 1]!) < 1e-4) splitKernel(V, size, half);
  const Lambda = Float64Array.from({ length: 2 * half }, (_, i) => (i % 2 === 0 ? diagonal : values[i >> 1]!));
  const projected = P.map((row) => project(V, row, size, half));
  return { Lambda, P: concatenate(projected), B: project(V, B, size, half), V, half, rank };
}

function firstColumns(vectors: Float64Array, size: number, half: number): Float64Array {
  const out = new Float64Array(2 * size * half);
  for (let n = 0; n < size; n++) out.set(vectors.subarray(2 * n * size, 2 * (n * size + half)), 2 * n * half);
  return out;
}

/** The Fourier measures have eigenvalue zero twice, over the first two elements of the state: one of the pair is (1, i) / sqrt 2. */
function splitKernel(V: Float64Array, size: number, half: number): void {
  const column = half - 1;
  for (let n = 0; n < size; n++) V.fill(0, 2 * (n * half + column), 2 * (n * half + column) + 2);
  V[2 * column] = Math.SQRT1_2;
  V[2 * (half + column) + 1] = Math.SQRT1_2;
}

/** V* x [half 2] */
function project(V: Float64Array, x: Float64Array, size: number, half: number): Float64Array {
  const out = new Float64Array(2 * half);
  for (let n = 0; n < size; n++) {
    for (let k = 0; k < half; k++) {
      out[2 * k]! += V[2 * (n * half + k)]! * x[n]!;
      out[2 * k + 1]! -= V[2 * (n * half + k) + 1]! * x[n]!;
    }
  }
  return out;
}

function concatenate(rows: readonly Float64Array[]): Float64Array {
  const out = new Float64Array(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    out.set(row, at);
    at += row.length;
  }
  return out;
}
