import { add, div, exp, mul, neg, reciprocal, sub } from "../../ops/elementwise/index.ts";
import { matmul } from "../../ops/matmul/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import { broadcastTo } from "../../ops/reduce/index.ts";
import { type Diagonals, tridiagonalSolve } from "../../ops/tridiagonal-solve/index.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";

/**
 * A structured A = -pl (T^-1 + diag c) pr with T of three diagonals, and B = pl b; pl multiplies rows, pr columns. All [copies dState],
 * copies 1 where features share them, else dModel. Names are those of checkpoints.
 */
export type LsslTransition = {
  /** T[n, n - 1] at n; the first element is not used. */
  readonly dl: Tensor;
  /** T[n, n] */
  readonly d: Tensor;
  /** T[n, n + 1] at n; the last element is not used. */
  readonly du: Tensor;
  readonly pl: Tensor;
  readonly pr: Tensor;
  readonly c: Tensor;
  readonly b: Tensor;
};

/** x[t] = A x[t-1] + B u[t], for every feature. */
export interface DiscreteLssl {
  /** [dModel dState dState] */
  readonly A: Tensor;
  /** [dModel dState 1] */
  readonly B: Tensor;
}

/** 1 where the column is the row plus `offset`, [1 size size]. */
function shifted(size: number, offset: number, { device, dtype }: Tensor): Tensor {
  const values = new Float64Array(size * size);
  for (let n = Math.max(0, -offset); n < Math.min(size, size - offset); n++) values[n * size + n + offset] = 1;
  return tensor(values, [1, size, size], { device, dtype });
}

/** [copies size] as a column, which multiplies rows of matrices. */
const column = (x: Tensor): Tensor => reshape(x, [...x.shape, 1]);
/** [copies size] as a row, which multiplies columns of matrices. */
const row = (x: Tensor): Tensor => reshape(x, [x.shape[0]!, 1, x.shape[1]!]);

/** x[.., n - 1] at n, or x[.., n + 1]; 0 where there is none. */
export function moved(x: Tensor, by: -1 | 1): Tensor {
  const { device, dtype, shape } = x;
  const blank = zeros([...shape.slice(0, -1), 1], { device, dtype });
  return by === -1
    ? concat([blank, slice(x, { axis: -1, end: -1 })], -1)
    : concat([slice(x, { axis: -1, start: 1 }), blank], -1);
}

/** A of dx/dt = A x + B u, [copies dState dState]. */
export function denseTransition({ dl, d, du, pl, pr, c }: LsslTransition): Tensor {
  const [copies, size] = d.shape as [number, number];
  const identity = shifted(size, 0, d);
  const inverse = tridiagonalSolve({ lower: dl, diagonal: d, upper: du }, broadcastTo(identity, [copies, size, size]));
  return neg(mul(mul(add(inverse, mul(identity, row(c))), column(pl)), row(pr)));
}

/**
 * The diagonals of T (1 / (pl pr) + step diag c) + step, [... dState], for step sizes [... 1]: with T / pl before and 1 / pr
 * behind, its inverse is (1 - step A)^-1.
 */
export function resolventDiagonals({ dl, d, du, pl, pr, c }: LsslTransition, step: Tensor): Diagonals {
  const s = add(reciprocal(mul(pl, pr)), mul(step, c));
  return { lower: mul(dl, moved(s, -1)), diagonal: add(mul(d, s), step), upper: mul(du, moved(s, 1)) };
}

/**
 * The generalised bilinear transform, with dt = exp(logDt) rate:
 *
 *     A-bar = (1 - alpha dt A)^-1 (1 + (1 - alpha) dt A),  B-bar = dt (1 - alpha dt A)^-1 B
 *
 * No matrix is inverted but those of three diagonals: (1 - alpha dt A)^-1 = (1 / pr) (T S + alpha dt)^-1 T (1 / pl), S = 1 / (pl pr) +
 * alpha dt diag c.
 *
 * @param dt - [dModel 1]
 * @param alpha - 0 is Euler's rule, 1/2 the bilinear transform, 1 Euler's rule backwards
 * @see Gu et al. 2021 (LSSL), appendix E.2
 */
export function discretize(transition: LsslTransition, dt: Tensor, alpha: number): DiscreteLssl {
  const { dl, d, du, pl, pr, b } = transition;
  const [, size] = d.shape as [number, number];
  const dModel = dt.shape[0]!;
  const identity = shifted(size, 0, d);
  const spread = (x: Tensor): Tensor => broadcastTo(x, [dModel, ...x.shape.slice(1)]);
  const input = column(mul(pl, b));
  if (alpha === 0) {
    return { A: add(identity, mul(denseTransition(transition), column(dt))), B: mul(spread(input), column(dt)) };
  }
  const T = add(
    add(mul(identity, column(d)), mul(shifted(size, -1, d), column(dl))),
    mul(shifted(size, 1, d), column(du)),
  );
  const { lower, diagonal, upper } = resolventDiagonals(transition, mul(dt, alpha));
  const middle = { lower: spread(lower), diagonal: spread(diagonal), upper: spread(upper) };
  const solved = tridiagonalSolve(middle, spread(div(T, row(pl))));
  const resolvent = div(solved, column(pr));
  return {
    A: sub(mul(resolvent, 1 / alpha), mul(identity, (1 - alpha) / alpha)),
    B: mul(matmul(resolvent, spread(input)), column(dt)),
  };
}

/** exp(logDt) rate, [dModel 1]. */
export function stepSizes(logDt: Tensor, rate: number): Tensor {
  const dt = exp(reshape(logDt, [logDt.shape[0]!, 1]));
  return rate === 1 ? dt : mul(dt, rate);
}
