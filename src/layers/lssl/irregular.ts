import { add, div, exp, mul, neg, sub } from "../../ops/elementwise/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import { broadcastTo, sum } from "../../ops/reduce/index.ts";
import { tridiagonalSolve } from "../../ops/tridiagonal-solve/index.ts";
import { scope } from "../../tensor/scope.ts";
import { type Tensor, zeros } from "../../tensor/tensor.ts";
import type { LsslConfig, LsslParameters } from "./lssl-layer.ts";
import { type LsslTransition, moved, resolventDiagonals } from "./transition.ts";

/** What an irregular scan starts from. */
export interface IrregularScan {
  /** [batch length dModel] */
  readonly u: Tensor;
  /** [batch length] */
  readonly deltas: Tensor;
  readonly rate: number;
  /** [batch dModel dState] */
  readonly state: Tensor | undefined;
}

/**
 * The recurrence with a transition of its own for each step, dt[t] = exp(logDt) rate deltas[t]. A step solves equations with three
 * diagonals, in order dState, and forms no matrix. Steps follow one another, so that time and, where gradients are recorded, memory grow
 * as batch x length x dModel x dState.
 *
 * @returns y [batch length dModel channels], and the state after the last sample
 */
export function scanIrregular(
  config: LsslConfig,
  { transition, logDt, C, D }: LsslParameters,
  { u, deltas, rate, state }: IrregularScan,
): { y: Tensor; state: Tensor } {
  const { device, dtype } = u;
  const [batch, length, dModel] = u.shape as [number, number, number];
  const dt = mul(exp(reshape(logDt, [dModel, 1])), rate);
  let x = state ?? zeros([batch, dModel, config.dState], { device, dtype });
  const outputs: Tensor[] = [];
  for (let t = 0; t < length; t++) {
    const result = scope(() => {
      const given = reshape(slice(u, { axis: 1, start: t, end: t + 1 }), [batch, dModel, 1]);
      const delta = reshape(slice(deltas, { axis: 1, start: t, end: t + 1 }), [batch, 1, 1]);
      const next = step(transition, config.alpha ?? 0.5, { x, u: given, dt: mul(dt, delta) });
      const seen = sum(mul(C, reshape(next, [batch, dModel, 1, config.dState])), { axis: -1 });
      return { x: next, y: reshape(add(seen, mul(D, given)), [batch, 1, ...D.shape]) };
    });
    x = result.x;
    outputs.push(result.y);
  }
  const none = zeros([batch, 0, ...D.shape], { device, dtype });
  return { y: outputs.length > 0 ? concat(outputs, 1) : none, state: x };
}

/** One step of all features: x [batch dModel dState], u and dt [batch dModel 1]. */
interface Step {
  readonly x: Tensor;
  readonly u: Tensor;
  readonly dt: Tensor;
}

/** A-bar x + B-bar u = R (x + alpha dt B u) / alpha - x (1 - alpha) / alpha with R = (1 - alpha dt A)^-1. */
function step(transition: LsslTransition, alpha: number, { x, u, dt }: Step): Tensor {
  const { dl, d, du, pl, pr, c, b } = transition;
  const { shape } = x;
  const size = shape.at(-1)!;
  const rows = (y: Tensor): Tensor => reshape(broadcastTo(y, shape), [-1, size]);
  const solve = (own: { lower: Tensor; diagonal: Tensor; upper: Tensor }, right: Tensor): Tensor => {
    const systems = { lower: rows(own.lower), diagonal: rows(own.diagonal), upper: rows(own.upper) };
    return reshape(tridiagonalSolve(systems, reshape(right, [-1, size, 1])), shape);
  };
  if (alpha === 0) {
    const right = mul(x, pr);
    const inner = add(solve({ lower: dl, diagonal: d, upper: du }, right), mul(right, c));
    return add(x, mul(dt, mul(pl, add(neg(inner), mul(b, u)))));
  }
  const before = add(div(x, pl), mul(mul(mul(dt, alpha), u), b));
  const right = add(add(mul(moved(before, -1), dl), mul(before, d)), mul(moved(before, 1), du));
  const solved = div(solve(resolventDiagonals(transition, mul(dt, alpha)), right), pr);
  return sub(mul(solved, 1 / alpha), mul(x, (1 - alpha) / alpha));
}
