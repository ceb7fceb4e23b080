/** Square complex matrices and vectors in float64, as pairs (real, imaginary) in row-major order: what S4 needs once, when it is set up. */

/** a b, [size size 2] each. */
function product(a: Float64Array, b: Float64Array, size: number): Float64Array {
  const out = new Float64Array(2 * size * size);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      const [re, im] = [a[2 * (i * size + k)]!, a[2 * (i * size + k) + 1]!];
      for (let j = 0; j < size; j++) {
        const [x, y] = [b[2 * (k * size + j)]!, b[2 * (k * size + j) + 1]!];
        out[2 * (i * size + j)]! += re * x - im * y;
        out[2 * (i * size + j) + 1]! += re * y + im * x;
      }
    }
  }
  return out;
}

function identity(size: number): Float64Array {
  const out = new Float64Array(2 * size * size);
  for (let i = 0; i < size; i++) out[2 * (i * size + i)] = 1;
  return out;
}

/** a^exponent, by squaring. */
export function power(a: Float64Array, size: number, exponent: number): Float64Array {
  let result: Float64Array | undefined;
  let square = a;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = result ? product(result, square, size) : square;
    if (rest > 1) square = product(square, square, size);
  }
  return result ?? identity(size);
}

/** Solves a X = b for `columns` right sides at once, by elimination with pivots; a [size size 2] and b [size columns 2] are kept. */
export function solve(a: Float64Array, b: Float64Array, size: number, columns: number): Float64Array {
  const left = a.slice();
  const right = b.slice();
  for (let k = 0; k < size; k++) {
    swapRows(left, right, size, columns, k, pivotOf(left, size, k));
    const i = 2 * (k * size + k);
    const square = left[i]! ** 2 + left[i + 1]! ** 2;
    const inverse: [number, number] = [left[i]! / square, -left[i + 1]! / square];
    scaleRow(left, k, size, inverse);
    scaleRow(right, k, columns, inverse);
    for (let row = 0; row < size; row++) {
      const by: [number, number] = [left[2 * (row * size + k)]!, left[2 * (row * size + k) + 1]!];
      if (row === k || (by[0] === 0 && by[1] === 0)) continue;
      subtractRow(left, row, k, size, by);
      subtractRow(right, row, k, columns, by);
    }
  }
  return right;
}

function pivotOf(a: Float64Array, size: number, k: number): number {
  const length = (row: number): number => Math.hypot(a[2 * (row * size + k)]!, a[2 * (row * size + k) + 1]!);
  let best = k;
  for (let row = k + 1; row < size; row++) if (length(row) > length(best)) best = row;
  return best;
}

function swapRows(a: Float64Array, b: Float64Array, size: number, columns: number, i: number, j: number): void {
  if (i === j) return;
  for (const [x, width] of [
    [a, 2 * size],
    [b, 2 * columns],
  ] as const) {
    const kept = x.slice(i * width, (i + 1) * width);
    x.copyWithin(i * width, j * width, (j + 1) * width);
    x.set(kept, j * width);
  }
}

function scaleRow(a: Float64Array, row: number, width: number, [re, im]: [number, number]): void {
  for (let i = 2 * row * width; i < 2 * (row + 1) * width; i += 2) {
    const [x, y] = [a[i]!, a[i + 1]!];
    a[i] = x * re - y * im;
    a[i + 1] = x * im + y * re;
  }
}

function subtractRow(a: Float64Array, row: number, from: number, width: number, [re, im]: [number, number]): void {
  for (let j = 0; j < width; j++) {
    const [to, at] = [2 * (row * width + j), 2 * (from * width + j)];
    const [x, y] = [a[at]!, a[at + 1]!];
    a[to]! -= x * re - y * im;
    a[to + 1]! -= x * im + y * re;
  }
}

/** One feature of a diagonal plus low-rank system, half of each conjugate pair; arrays [half 2], P [rank half 2]. */
export interface LowRankFeature {
  readonly A: Float64Array;
  readonly P: Float64Array;
  readonly dt: number;
  readonly half: number;
}

/** A = diag - P P* over whole pairs, [2 half, 2 half, 2]. */
export function continuous({ A, P, half }: Omit<LowRankFeature, "dt">): Float64Array {
  const size = 2 * half;
  const whole = (x: Float64Array, row: number, i: number): [number, number] => {
    const at = 2 * (row * half + (i % half));
    return [x[at]!, i < half ? x[at + 1]! : -x[at + 1]!];
  };
  const out = new Float64Array(2 * size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      let [re, im] = i === j ? whole(A, 0, i) : [0, 0];
      for (let r = 0; 2 * r * half < P.length; r++) {
        const [a, b] = whole(P, r, i);
        const [c, d] = whole(P, r, j);
        re -= a * c + b * d;
        im -= b * c - a * d;
      }
      out.set([re, im], 2 * (i * size + j));
    }
  }
  return out;
}

/** A-bar of the bilinear transform over whole pairs, [2 half, 2 half, 2]: (1 - dt A / 2)^-1 (1 + dt A / 2). */
export function bilinear(feature: LowRankFeature): Float64Array {
  const size = 2 * feature.half;
  const A = continuous(feature);
  const one = identity(size);
  const plus = (by: number): Float64Array => A.map((x, i) => one[i]! + by * x);
  return solve(plus(-feature.dt / 2), plus(feature.dt / 2), size, size);
}

/** Where stepping a row through a length takes longer than raising the matrix to a power. */
const MOST_STEPS = 16384;

/**
 * C A-bar^length for rank 1, by steps of O(half): with A^T = diag(A) - Q P^T, Q = conj(P), D = 1 / (2 / dt - A), E = 2 / dt + A and
 * R = 1 + P^T D Q, a step is y = E C - Q (P^T C), then D (y - Q (P^T D y) / R). Sums over whole pairs are real: 2 Re over the halves.
 */
function stepped(C: Float64Array, { A, P, dt, half }: LowRankFeature, length: number): Float64Array {
  const D = new Float64Array(2 * half);
  let R = 1;
  for (let n = 0; n < 2 * half; n += 2) {
    const [re, im] = [2 / dt - A[n]!, -A[n + 1]!];
    const size = re * re + im * im;
    D[n] = re / size;
    D[n + 1] = -im / size;
    R += 2 * (P[n]! ** 2 + P[n + 1]! ** 2) * D[n]!;
  }
  const row = C.slice();
  for (let t = 0; t < length; t++) {
    let sum = 0;
    for (let n = 0; n < 2 * half; n += 2) sum += P[n]! * row[n]! - P[n + 1]! * row[n + 1]!;
    let next = 0;
    for (let n = 0; n < 2 * half; n += 2) {
      const [re, im] = [2 / dt + A[n]!, A[n + 1]!];
      const [x, y] = [row[n]!, row[n + 1]!];
      const [u, v] = [re * x - im * y - 2 * sum * P[n]!, re * y + im * x + 2 * sum * P[n + 1]!];
      row[n] = D[n]! * u - D[n + 1]! * v;
      row[n + 1] = D[n]! * v + D[n + 1]! * u;
      next += P[n]! * row[n]! - P[n + 1]! * row[n + 1]!;
    }
    const by = (2 * next) / R;
    for (let n = 0; n < 2 * half; n += 2) {
      row[n]! -= by * (D[n]! * P[n]! + D[n + 1]! * P[n + 1]!);
      row[n + 1]! -= by * (D[n + 1]! * P[n]! - D[n]! * P[n + 1]!);
    }
  }
  return row;
}

/** C (1 - A-bar^length), or with `undo` the C that gives it; C [half 2] stands for whole pairs. */
export function tuned(C: Float64Array, feature: LowRankFeature, length: number, undo: boolean): Float64Array {
  const { half } = feature;
  if (!undo && feature.P.length === 2 * half && length <= MOST_STEPS) {
    const after = stepped(C, feature, length);
    return C.map((x, i) => x - after[i]!);
  }
  const size = 2 * half;
  const raised = power(bilinear(feature), size, length);
  const whole = new Float64Array(2 * size);
  for (let i = 0; i < half; i++) {
    whole.set([C[2 * i]!, C[2 * i + 1]!], 2 * i);
    whole.set([C[2 * i]!, -C[2 * i + 1]!], 2 * (half + i));
  }
  // the transpose, since C is a row
  const less = identity(size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      less[2 * (j * size + i)]! -= raised[2 * (i * size + j)]!;
      less[2 * (j * size + i) + 1]! -= raised[2 * (i * size + j) + 1]!;
    }
  }
  if (undo) return solve(less, whole, size, 1).slice(0, 2 * half);
  return applied(less, whole, size).slice(0, 2 * half);
}

function applied(a: Float64Array, x: Float64Array, size: number): Float64Array {
  const out = new Float64Array(2 * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const at = 2 * (i * size + j);
      out[2 * i]! += a[at]! * x[2 * j]! - a[at + 1]! * x[2 * j + 1]!;
      out[2 * i + 1]! += a[at]! * x[2 * j + 1]! + a[at + 1]! * x[2 * j]!;
    }
  }
  return out;
}
