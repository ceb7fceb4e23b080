/** Eigenvalues in ascending order, and a unit vector of each as a column of `vectors` [size size 2]. */
export interface HermitianEigen {
  readonly values: Float64Array;
  readonly vectors: Float64Array;
}

const MOST_SWEEPS = 60;

/**
 * All eigenvalues and eigenvectors of a Hermitian matrix, by Jacobi's method: rotations in planes of two axes, each of which makes one
 * element outside of the diagonal zero, in a fixed order. Small eigenvalues come out as exactly as large ones, which the matrices of
 * HiPPO need: theirs differ by factors of thousands.
 *
 * @param matrix - [size size 2], complex numbers as pairs
 * @returns eigenvectors whose first element is real and not negative; where that is nearly zero, their largest is
 * @see Golub & Van Loan, "Matrix Computations", section 8.5
 */
export function hermitianEigen(matrix: Float64Array, size: number): HermitianEigen {
  const a = matrix.slice();
  const v = new Float64Array(2 * size * size);
  for (let i = 0; i < size; i++) v[2 * (i * size + i)] = 1;
  for (let sweep = 0; sweep < MOST_SWEEPS && outside(a, size) > 0; sweep++) {
    for (let p = 0; p < size; p++) for (let q = p + 1; q < size; q++) rotate(a, v, size, p, q);
  }
  const order = Array.from({ length: size }, (_, i) => i).sort((i, j) => at(a, size, i) - at(a, size, j));
  const vectors = new Float64Array(v.length);
  order.forEach((from, to) => {
    const phase = phaseOf(v, size, from);
    for (let row = 0; row < size; row++) multiply(v, 2 * (row * size + from), phase, vectors, 2 * (row * size + to));
  });
  return { values: Float64Array.from(order, (i) => at(a, size, i)), vectors };
}

const at = (a: Float64Array, size: number, i: number): number => a[2 * (i * size + i)]!;

/** Sum of squares of what still counts outside of the diagonal. */
function outside(a: Float64Array, size: number): number {
  let sum = 0;
  for (let p = 0; p < size; p++) {
    for (let q = p + 1; q < size; q++) if (counts(a, size, p, q)) sum += squaredLength(a, 2 * (p * size + q));
  }
  return sum;
}

/** Whether an element is more than the rounding of the diagonal elements that it would change. */
function counts(a: Float64Array, size: number, p: number, q: number): boolean {
  const scale = Math.abs(at(a, size, p)) + Math.abs(at(a, size, q));
  const length = Math.sqrt(squaredLength(a, 2 * (p * size + q)));
  return length > Number.MIN_VALUE && length > 1e-17 * scale;
}

function squaredLength(a: Float64Array, i: number): number {
  return a[i]! ** 2 + a[i + 1]! ** 2;
}

/** Makes the elements [p q] and [q p] zero: A becomes U* A U, V becomes V U. */
function rotate(a: Float64Array, v: Float64Array, size: number, p: number, q: number): void {
  if (!counts(a, size, p, q)) return;
  const i = 2 * (p * size + q);
  const length = Math.hypot(a[i]!, a[i + 1]!);
  const tau = (at(a, size, q) - at(a, size, p)) / (2 * length);
  const tangent = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
  const cosine = 1 / Math.sqrt(1 + tangent * tangent);
  const [re, im] = [(tangent * cosine * a[i]!) / length, (tangent * cosine * a[i + 1]!) / length];
  for (let k = 0; k < size; k++) {
    mix(a, 2 * (k * size + p), 2 * (k * size + q), cosine, re, im);
    mix(v, 2 * (k * size + p), 2 * (k * size + q), cosine, re, im);
  }
  for (let k = 0; k < size; k++) mix(a, 2 * (p * size + k), 2 * (q * size + k), cosine, re, -im);
}

/** x, y = c x - conj(s) y, s x + c y, with s = re + i im. */
function mix(a: Float64Array, x: number, y: number, c: number, re: number, im: number): void {
  const [xRe, xIm, yRe, yIm] = [a[x]!, a[x + 1]!, a[y]!, a[y + 1]!];
  a[x] = c * xRe - (re * yRe + im * yIm);
  a[x + 1] = c * xIm - (re * yIm - im * yRe);
  a[y] = re * xRe - im * xIm + c * yRe;
  a[y + 1] = re * xIm + im * xRe + c * yIm;
}

/** The number of length 1 that makes the first element of a column real and positive. */
function phaseOf(v: Float64Array, size: number, column: number): [number, number] {
  let row = 0;
  if (squaredLength(v, 2 * column) < 1e-20) {
    for (let k = 1; k < size; k++) {
      if (squaredLength(v, 2 * (k * size + column)) > squaredLength(v, 2 * (row * size + column))) row = k;
    }
  }
  const i = 2 * (row * size + column);
  const length = Math.hypot(v[i]!, v[i + 1]!);
  return [v[i]! / length, -v[i + 1]! / length];
}

function multiply(from: Float64Array, i: number, [re, im]: [number, number], to: Float64Array, j: number): void {
  to[j] = from[i]! * re - from[i + 1]! * im;
  to[j + 1] = from[i]! * im + from[i + 1]! * re;
}
