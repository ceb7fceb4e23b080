import { invariant } from "../../tensor/errors.ts";

/** Rotates two rows so that the second of `a` and `b` vanishes: [c s; -conj(s) c] with a real c. */
interface Rotation {
  readonly c: number;
  readonly re: number;
  readonly im: number;
}

function rotationOf(aRe: number, aIm: number, bRe: number, bIm: number): Rotation {
  const a = Math.hypot(aRe, aIm);
  const b = Math.hypot(bRe, bIm);
  if (b === 0) return { c: 1, re: 0, im: 0 };
  if (a === 0) return { c: 0, re: bRe / b, im: -bIm / b };
  const r = a * Math.hypot(a, b);
  return { c: (a * a) / r, re: (aRe * bRe + aIm * bIm) / r, im: (aIm * bRe - aRe * bIm) / r };
}

/** Elements x and y at `i` and `j` become c x + s y and c y - conj(s) x. */
function rotate(m: Float64Array, i: number, j: number, { c, re, im }: Rotation): void {
  const [xRe, xIm, yRe, yIm] = [m[i]!, m[i + 1]!, m[j]!, m[j + 1]!];
  m[i] = c * xRe + re * yRe - im * yIm;
  m[i + 1] = c * xIm + re * yIm + im * yRe;
  m[j] = c * yRe - re * xRe - im * xIm;
  m[j + 1] = c * yIm - re * xIm + im * xRe;
}

/** Square complex matrices in row-major order, pairs (real, imaginary). */
class Square {
  readonly size: number;
  readonly m: Float64Array;

  constructor(size: number, m: Float64Array) {
    this.size = size;
    this.m = m;
  }

  at(row: number, column: number): number {
    return 2 * (row * this.size + column);
  }

  abs(row: number, column: number): number {
    return Math.hypot(this.m[this.at(row, column)]!, this.m[this.at(row, column) + 1]!);
  }

  rotateRows(i: number, j: number, by: Rotation): void {
    for (let k = 0; k < this.size; k++) rotate(this.m, this.at(i, k), this.at(j, k), by);
  }

  /** The same from the right, by the adjoint. */
  rotateColumns(i: number, j: number, { c, re, im }: Rotation): void {
    for (let k = 0; k < this.size; k++) rotate(this.m, this.at(k, i), this.at(k, j), { c, re, im: -im });
  }

  rotationTo(row: number, column: number, under: number): Rotation {
    const [a, b] = [this.at(row, column), this.at(under, column)];
    return rotationOf(this.m[a]!, this.m[a + 1]!, this.m[b]!, this.m[b + 1]!);
  }

  shift(from: number, to: number, [re, im]: readonly [number, number]): void {
    for (let i = from; i <= to; i++) {
      this.m[this.at(i, i)]! += re;
      this.m[this.at(i, i) + 1]! += im;
    }
  }
}

function identity(size: number): Square {
  const one = new Square(size, new Float64Array(2 * size * size));
  one.shift(0, size - 1, [1, 0]);
  return one;
}

/** Zeroes what is below the first subdiagonal. */
function toHessenberg(h: Square, q: Square): void {
  for (let k = 0; k < h.size - 2; k++) {
    for (let i = h.size - 1; i > k + 1; i--) {
      const by = h.rotationTo(i - 1, k, i);
      h.rotateRows(i - 1, i, by);
      h.rotateColumns(i - 1, i, by);
      q.rotateColumns(i - 1, i, by);
    }
  }
}

/** The eigenvalue of the last two rows and columns up to `last` that is nearer to the last element (Wilkinson's shift). */
function shiftOf(h: Square, last: number): [number, number] {
  const get = (row: number, column: number): [number, number] => {
    const i = h.at(row, column);
    return [h.m[i]!, h.m[i + 1]!];
  };
  const [a, b, c, d] = [get(last - 1, last - 1), get(last - 1, last), get(last, last - 1), get(last, last)];
  const half = [(a[0] - d[0]) / 2, (a[1] - d[1]) / 2] as const;
  const square = [
    half[0] ** 2 - half[1] ** 2 + b[0] * c[0] - b[1] * c[1],
    2 * half[0] * half[1] + b[0] * c[1] + b[1] * c[0],
  ] as const;
  const size = Math.sqrt(Math.hypot(...square));
  const angle = Math.atan2(square[1], square[0]) / 2;
  const root = [size * Math.cos(angle), size * Math.sin(angle)] as const;
  const sign = half[0] * root[0] + half[1] * root[1] > 0 ? -1 : 1;
  return [d[0] + half[0] + sign * root[0], d[1] + half[1] + sign * root[1]];
}

const MOST_SWEEPS = 60;

/** Zeroes the subdiagonal too, by shifted QR sweeps: h is then upper triangular, its eigenvalues on the diagonal. */
function toTriangular(h: Square, q: Square): void {
  for (let last = h.size - 1; last > 0; last--) {
    for (let sweep = 0; ; sweep++) {
      let first = last;
      const isSmall = (i: number): boolean => h.abs(i, i - 1) <= 1e-15 * (h.abs(i, i) + h.abs(i - 1, i - 1));
      while (first > 0 && !isSmall(first)) first--;
      if (first === last) break;
      invariant(sweep < MOST_SWEEPS, "complexEigen did not converge");
      // cyclic matrices stand still under the usual shift
      const [re, im] = sweep % 10 === 9 ? [h.abs(last, last - 1), 0] : shiftOf(h, last);
      h.shift(first, last, [-re, -im]);
      const rotations: Rotation[] = [];
      for (let k = first; k < last; k++) {
        rotations.push(h.rotationTo(k, k, k + 1));
        h.rotateRows(k, k + 1, rotations.at(-1)!);
      }
      rotations.forEach((by, i) => {
        h.rotateColumns(first + i, first + i + 1, by);
        q.rotateColumns(first + i, first + i + 1, by);
      });
      h.shift(first, last, [re, im]);
    }
  }
}

/** Eigenvectors of an upper triangular matrix as columns, each of a last element 1. */
function triangularVectors(h: Square): Square {
  const v = identity(h.size);
  for (let k = 1; k < h.size; k++) {
    for (let i = k - 1; i >= 0; i--) {
      let [re, im] = [0, 0];
      for (let j = i + 1; j <= k; j++) {
        const [a, b] = [h.at(i, j), v.at(j, k)];
        re -= h.m[a]! * v.m[b]! - h.m[a + 1]! * v.m[b + 1]!;
        im -= h.m[a]! * v.m[b + 1]! + h.m[a + 1]! * v.m[b]!;
      }
      const [own, other] = [h.at(i, i), h.at(k, k)];
      const below = [h.m[own]! - h.m[other]!, h.m[own + 1]! - h.m[other + 1]!] as const;
      const size = Math.max(below[0] ** 2 + below[1] ** 2, Number.MIN_VALUE);
      v.m[v.at(i, k)] = (re * below[0] + im * below[1]) / size;
      v.m[v.at(i, k) + 1] = (im * below[0] - re * below[1]) / size;
    }
  }
  return v;
}

/**
 * Eigenvalues [size 2] and eigenvectors, the columns of V [size size 2], of a complex matrix [size size 2]: A = V diag(values) V^-1, columns
 * of length 1. Shifted QR in float64. Where A is far from normal, V is close to singular, and little can be told from it.
 *
 * @see Golub & Van Loan, "Matrix Computations", chapter 7
 */
export function complexEigen(a: Float64Array, size: number): { values: Float64Array; V: Float64Array } {
  const h = new Square(size, a.slice());
  const q = identity(size);
  toHessenberg(h, q);
  toTriangular(h, q);
  const v = triangularVectors(h);
  const V = new Float64Array(2 * size * size);
  for (let k = 0; k < size; k++) {
    let square = 0;
    for (let i = 0; i < size; i++) {
      let [re, im] = [0, 0];
      for (let j = 0; j <= k; j++) {
        const [x, y] = [q.at(i, j), v.at(j, k)];
        re += q.m[x]! * v.m[y]! - q.m[x + 1]! * v.m[y + 1]!;
        im += q.m[x]! * v.m[y + 1]! + q.m[x + 1]! * v.m[y]!;
      }
      V[q.at(i, k)] = re;
      V[q.at(i, k) + 1] = im;
      square += re * re + im * im;
    }
    for (let i = 0; i < size; i++) {
      V[q.at(i, k)]! /= Math.sqrt(square);
      V[q.at(i, k) + 1]! /= Math.sqrt(square);
    }
  }
  const values = Float64Array.from({ length: 2 * size }, (_, i) => h.m[h.at(i >> 1, i >> 1) + (i % 2)]!);
  return { values, V };
}
