import { exp, mul, neg, softplus } from "../../ops/elementwise/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type ComplexTensor, complexOf } from "./complex.ts";

/** Parameters of a structured state space: one half of each conjugate pair of states, for `copies` of the dModel features. */
export type S4KernelParameters = {
  /** [channels dModel half 2]; with low rank tuned to a length, see {@link S4Config.kernelLength}. */
  readonly C: Tensor;
  /** [1 copies half 2]; left out where it is part of C. */
  readonly B?: Tensor;
  /** [rank copies half 2]; only with low rank. */
  readonly P?: Tensor;
  /** [copies half] log(-Re A) */
  readonly A_real: Tensor;
  /** [copies half] the size of Im A, whose sign is that of the configuration. */
  readonly A_imag: Tensor;
  /** [dModel 1] or [dModel half]: the step size before its transform. */
  readonly invDt: Tensor;
};

/** What fixes a structured state space besides its parameters. */
export interface S4SystemConfig {
  readonly dModel: number;
  /** How step sizes are made positive; default `exp`. */
  readonly dtTransform?: "exp" | "softplus";
  /** Whether the half of each pair that is kept turns clockwise (-1, as in S4) or counterclockwise (1, as in the minimal S4D). Default -1. */
  readonly imaginarySign?: -1 | 1;
}

/** A diagonal (plus low-rank) system with numbers for every feature, all [dModel half 1]. */
export interface S4System {
  readonly A: ComplexTensor;
  readonly B: ComplexTensor | undefined;
  /** By rank. */
  readonly P: readonly ComplexTensor[];
  /** By channel. */
  readonly C: readonly ComplexTensor[];
  /** [dModel half 1] or [dModel 1 1] */
  readonly dt: Tensor;
  readonly channels: number;
}

/** The system that parameters stand for: A = -exp(A_real) +- i A_imag, features sharing copies in turn. */
export function s4System(parameters: S4KernelParameters, config: S4SystemConfig, rate = 1): S4System {
  const { A_real, A_imag, B, C, P, invDt } = parameters;
  const { dModel, dtTransform = "exp", imaginarySign = -1 } = config;
  const [copies, half] = A_real.shape as [number, number];
  const spread = (x: Tensor): Tensor => repeated(x, dModel / copies);
  const column = (x: Tensor): Tensor => spread(reshape(x, [copies, half, 1]));
  const rows = (x: Tensor | undefined): ComplexTensor[] => {
    if (!x) return [];
    const [count, features] = x.shape as [number, number, number, number];
    return Array.from({ length: count }, (_, i) => {
      const own = complexOf(reshape(partOf(x, i), [features, half, 2]));
      return { re: repeated(own.re, dModel / features), im: repeated(own.im, dModel / features) };
    });
  };
  const step = reshape(invDt, [...invDt.shape, 1]);
  const dt = dtTransform === "exp" ? exp(step) : softplus(step);
  return {
    A: { re: column(neg(exp(A_real))), im: column(mul(A_imag, imaginarySign)) },
    B: rows(B)[0],
    P: rows(P),
    C: rows(C),
    dt: rate === 1 ? dt : mul(dt, rate),
    channels: C.shape[0]!,
  };
}

/** Element i of the first axis, without that axis's others. */
function partOf(x: Tensor, i: number): Tensor {
  return slice(x, { axis: 0, start: i, end: i + 1 });
}

/** The first axis `times` times over. */
function repeated(x: Tensor, times: number): Tensor {
  return times === 1
    ? x
    : concat(
        Array.from({ length: times }, () => x),
        0,
      );
}
