import { add, div, mul } from "../../ops/elementwise/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { scope } from "../../tensor/scope.ts";
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
import { discretizeDiagonal } from "./kernels.ts";
import { retuned } from "./retune.ts";
import type { S4Layer } from "./s4-layer.ts";
import { type S4System, s4System } from "./system.ts";

/** What steps need of a diagonal system, [dModel half 2]. */
interface DiagonalStep {
  readonly A: Tensor;
  readonly B: Tensor;
}

/** What steps need of a low-rank system, [dModel half 2]; R [dModel 1 1]. */
interface LowRankStep {
  readonly E: Tensor;
  readonly D: Tensor;
  readonly P: Tensor;
  readonly B: Tensor;
  readonly R: Tensor;
}

interface Values {
  readonly step: DiagonalStep | LowRankStep;
  /** By channel, [dModel half 2]. */
  readonly C: readonly Tensor[];
}

/**
 * An S4 or S4D layer step by step: constant time and memory a step, any length. Its outputs are those of the convolution.
 *
 * What steps need is worked out once, from the parameters as they are then. Diagonal: x' = A-bar x + B-bar u. Low rank, in order N:
 *
 *     x' = D (y - P Q* D y / R),  y = E x - P Q* x + 2 B u,  E = 2 / dt + Lambda,  D = 1 / (2 / dt - Lambda),  R = 1 + Q* D P
 *
 * @see Gu, Goel & Ré 2021 (S4), section 3.1 and appendix C.2
 */
export class S4Recurrence {
  readonly #layer: S4Layer;
  readonly #values: Values;

  private constructor(layer: S4Layer, values: Values) {
    this.#layer = layer;
    this.#values = values;
  }

  /**
   * @param rate - of the steps, as in {@link S4Layer.forward}
   * @throws ConfigError for layers that look ahead, and for a rank above 1
   */
  static async of(layer: S4Layer, rate = 1): Promise<S4Recurrence> {
    const { config, parameters } = layer;
    const { kernel } = parameters;
    if (config.bidirectional) {
      throw new ConfigError(
        "S4Recurrence: the layer must be causal; got a bidirectional one; run it as a convolution",
        {},
      );
    }
    const isDiagonal = config.structure === "diagonal";
    if (!isDiagonal && kernel.P?.shape[0] !== 1) {
      throw new ConfigError(
        `S4Recurrence: the rank must be 1; got ${kernel.P?.shape[0] ?? 0}; run the layer as a convolution`,
        {},
      );
    }
    const C = isDiagonal ? kernel.C : await retuned(parameters, config, { from: config.kernelLength ?? 0, to: 0 });
    const values = scope(() => {
      const system = s4System({ ...kernel, C }, config, rate);
      const step = isDiagonal ? diagonalStep(system, config.discretization ?? "zoh") : lowRankStep(system);
      return { step, C: system.C.map(joined) };
    });
    if (!isDiagonal) C.dispose();
    return new S4Recurrence(layer, values);
  }

  /** Zeros [batch dModel half 2]. */
  initialState(batch: number): Tensor {
    const { device, dtype, shape } = this.#values.C[0]!;
    return zeros([batch, ...shape], { device, dtype });
  }

  /**
   * @param u - [batch dModel]
   * @param state - of {@link S4Recurrence.initialState} or an earlier step; it stays valid
   * @returns y [batch dModel] and the state after it
   */
  step(u: Tensor, state: Tensor): { y: Tensor; state: Tensor } {
    const { step, C } = this.#values;
    const { D } = this.#layer.parameters;
    return scope(() => {
      const x = complexOf(state);
      const given = reshape(u, [...u.shape, 1, 1]);
      const next = "E" in step ? stepLowRank(step, x, given) : stepDiagonal(step, x, given);
      const channels = C.map((own, channel) => {
        const skip = mul(slice(D, { axis: 0, start: channel, end: channel + 1 }), u);
        return add(inner(complexOf(own), next, [-2, -1]), skip);
      });
      const y = this.#layer.output(channels.length === 1 ? channels[0]! : concat(channels, -1));
      return { y, state: joined(next) };
    });
  }

  /** Frees what was worked out; parameters belong to whoever made them. */
  dispose(): void {
    for (const value of [...Object.values(this.#values.step), ...this.#values.C]) value.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The real sum of a b over pairs of states: twice the real part of the sum over halves. */
function inner(a: ComplexTensor, b: ComplexTensor, axis: readonly number[]): Tensor {
  return mul(sum(complexMul(a, b).re, { axis, keepDims: axis.length === 1 }), 2);
}

function diagonalStep(system: S4System, discretization: "zoh" | "bilinear"): DiagonalStep {
  const { logA, B } = discretizeDiagonal(system, discretization);
  return { A: joined(complexExp(logA)), B: joined(B) };
}

function stepDiagonal({ A, B }: DiagonalStep, x: ComplexTensor, u: Tensor): ComplexTensor {
  return complexAdd(complexMul(complexOf(A), x), scaled(complexOf(B), u));
}

function lowRankStep({ A, B, P, dt }: S4System): LowRankStep {
  const twice = div(2, dt);
  const one = plusReal(scaled(A, 0), 1);
  const D = complexDiv(one, plusReal(scaled(A, -1), twice));
  const R = add(inner(conjugate(P[0]!), complexMul(D, P[0]!), [-2]), 1);
  const E = joined(plusReal(A, twice));
  return { E, D: joined(D), P: joined(P[0]!), B: joined(scaled(B!, 2)), R };
}

function stepLowRank({ E, D, P, B, R }: LowRankStep, x: ComplexTensor, u: Tensor): ComplexTensor {
  const low = complexOf(P);
  const right = conjugate(low);
  const decay = complexOf(D);
  const kept = complexSub(complexMul(complexOf(E), x), scaled(low, inner(right, x, [-2])));
  const y = complexAdd(kept, scaled(complexOf(B), u));
  const through = div(inner(right, complexMul(decay, y), [-2]), R);
  return complexMul(decay, complexSub(y, scaled(low, through)));
}
