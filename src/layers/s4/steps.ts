import { add, div, mul, reciprocal, sub } from "../../ops/elementwise/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import { stateSpaceStep } from "../../ops/state-space-step/index.ts";
import { type Tensor, zeros } from "../../tensor/tensor.ts";
import {
  type ComplexTensor,
  complexAdd,
  complexDiv,
  complexExp,
  complexMul,
  complexOf,
  complexSub,
  conjugate,
  joined,
  plusReal,
  scaled,
} from "./complex.ts";
import { type Discretization, discretizeDiagonal } from "./kernels.ts";
import type { S4System } from "./system.ts";

/** One way to take a system's steps. Tensors in `kept` are worked out once. */
export interface S4Steps {
  /** Of a state, without the batch. */
  readonly stateShape: readonly number[];
  readonly kept: readonly Tensor[];
  /** From a state and a sample u [batch dModel] to y = C x + D u [batch, channels dModel] and the next state; D [channels dModel]. */
  step(state: Tensor, u: Tensor, D: Tensor): { y: Tensor; next: Tensor };
}

/** Steps that are made of small ops. */
interface Composed {
  readonly stateShape: readonly number[];
  readonly kept: readonly Tensor[];
  /** The state after a sample u [batch dModel]. */
  next(state: Tensor, u: Tensor): Tensor;
  /** C x of each channel, [batch dModel]. */
  outputs(state: Tensor): Tensor[];
}

/** Steps of their parts. */
export function composedSteps({ stateShape, kept, next: advance, outputs }: Composed): S4Steps {
  return {
    stateShape,
    kept,
    step: (state, u, D) => {
      const next = advance(state, u);
      const channels = outputs(next).map((seen, channel) => {
        return add(seen, mul(slice(D, { axis: 0, start: channel, end: channel + 1 }), u));
      });
      return { y: channels.length === 1 ? channels[0]! : concat(channels, -1), next };
    },
  };
}

/** Steps of one op, which knows diagonal systems and those of rank 1; rows are those that it takes. */
function fusedSteps(rows: readonly ComplexTensor[], system: S4System): S4Steps {
  const values = { system: stacked(rows), C: stacked(system.C) };
  return {
    stateShape: values.C.shape.slice(1),
    kept: Object.values(values),
    step: (state, u, D) => {
      const { y, next } = stateSpaceStep({ ...values, D }, u, state);
      return { y: reshape(y, [u.shape[0]!, -1]), next };
    },
  };
}

/** Complex numbers [dModel half 1] one after the other, [count dModel half 2]. */
function stacked(rows: readonly ComplexTensor[]): Tensor {
  const all = rows.map((row) => {
    const values = joined(row);
    return reshape(values, [1, ...values.shape]);
  });
  return concat(all, 0);
}

/** The real sum of a b over pairs of states: twice the real part of the sum over halves. */
function inner(a: ComplexTensor, b: ComplexTensor, keepDims = true): Tensor {
  return mul(sum(complexMul(a, b).re, { axis: keepDims ? [-2] : [-2, -1], keepDims }), 2);
}

/** C x for states that stand for pairs. */
export const pairOutputs = (C: readonly Tensor[], state: Tensor): Tensor[] =>
  C.map((own) => inner(complexOf(own), complexOf(state), false));

const column = (u: Tensor): Tensor => reshape(u, [...u.shape, 1, 1]);

/** x' = A-bar x + B-bar u of a diagonal system. */
export function diagonalSteps(system: S4System, discretization: Discretization): S4Steps {
  const { logA, B } = discretizeDiagonal(system, discretization);
  return fusedSteps([complexExp(logA), B], system);
}

/**
 * Steps of a diagonal plus low-rank system under the bilinear transform, in order N:
 *
 *     x' = D (y - P R^-1 Q* D y),  y = E x - P Q* x + 2 B u,  E = 2 / dt + Lambda,  D = 1 / (2 / dt - Lambda),  R = 1 + Q* D P
 */
export function linearSteps(system: S4System): S4Steps {
  const { A, B, P, C: given, dt } = system;
  const twice = div(2, dt);
  const decay = complexDiv(plusReal(scaled(A, 0), 1), plusReal(scaled(A, -1), twice));
  if (P.length === 1) {
    const through = complexMul(decay, P[0]!);
    const R = add(inner(conjugate(P[0]!), through), 1);
    return fusedSteps([plusReal(A, twice), scaled(B!, 2), decay, P[0]!, scaled(through, div(1, R))], system);
  }
  const [E, D, input] = [joined(plusReal(A, twice)), joined(decay), joined(scaled(B!, 2))];
  const low = P.map(joined);
  const R = P.map((left, i) =>
    P.map((right, j) => {
      const product = inner(conjugate(left), complexMul(decay, right));
      return i === j ? add(product, 1) : product;
    }),
  );
  const inverse = inverted(R);
  const C = given.map(joined);
  const along = (x: ComplexTensor): Tensor[] => low.map((own) => inner(conjugate(complexOf(own)), x));
  const without = (x: ComplexTensor, sizes: readonly Tensor[]): ComplexTensor =>
    low.reduce((rest, own, i) => complexSub(rest, scaled(complexOf(own), sizes[i]!)), x);
  return composedSteps({
    stateShape: C[0]!.shape,
    kept: [E, D, input, ...low, ...inverse.flat(), ...C],
    next: (state, u) => {
      const x = complexOf(state);
      const kept = without(complexMul(complexOf(E), x), along(x));
      const y = complexAdd(kept, scaled(complexOf(input), column(u)));
      const sizes = along(complexMul(complexOf(D), y));
      const through = inverse.map((row) => row.map((r, j) => mul(r, sizes[j]!)).reduce((a, b) => add(a, b)));
      return joined(complexMul(complexOf(D), without(y, through)));
    },
    outputs: (state) => pairOutputs(C, state),
  });
}

/** The inverse of a small matrix whose elements are tensors, by elimination; its leading minors must not vanish. */
function inverted(matrix: readonly (readonly Tensor[])[]): Tensor[][] {
  const left = matrix.map((row) => [...row]);
  const { device, dtype, shape } = left[0]![0]!;
  const whole = (value: number): Tensor => add(zeros(shape, { device, dtype }), value);
  const right = left.map((_, i) => left.map((__, j) => whole(i === j ? 1 : 0)));
  for (let k = 0; k < left.length; k++) {
    const pivot = reciprocal(left[k]![k]!);
    for (const side of [left, right]) side[k] = side[k]!.map((x) => mul(x, pivot));
    for (let i = 0; i < left.length; i++) {
      if (i === k) continue;
      const factor = left[i]![k]!;
      for (const side of [left, right]) side[i] = side[i]!.map((x, j) => sub(x, mul(factor, side[k]![j]!)));
    }
  }
  return right;
}

/** Zeros of a state. */
export function initialState({ stateShape, kept }: S4Steps, batch: number): Tensor {
  const { device, dtype } = kept[0]!;
  return zeros([batch, ...stateShape], { device, dtype });
}
