import { add, div, mul } from "../../ops/elementwise/index.ts";
import { concat, reshape } from "../../ops/movement/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import { type SteppedStateSpace, stateSpaceStep } from "../../ops/state-space-step/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { scope } from "../../tensor/scope.ts";
import { type Tensor, zeros } from "../../tensor/tensor.ts";
import {
  type ComplexTensor,
  complexDiv,
  complexExp,
  complexMul,
  conjugate,
  joined,
  plusReal,
  scaled,
} from "./complex.ts";
import { type Discretization, discretizeDiagonal } from "./kernels.ts";
import { retuned } from "./retune.ts";
import type { S4Layer } from "./s4-layer.ts";
import { type S4System, s4System } from "./system.ts";

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
  readonly #values: Omit<SteppedStateSpace, "D">;

  private constructor(layer: S4Layer, values: Omit<SteppedStateSpace, "D">) {
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
      const rows = isDiagonal ? diagonalStep(system, config.discretization ?? "zoh") : lowRankStep(system);
      return { system: stacked(rows), C: stacked(system.C) };
    });
    if (!isDiagonal) C.dispose();
    return new S4Recurrence(layer, values);
  }

  /** Zeros [batch dModel half 2]. */
  initialState(batch: number): Tensor {
    const { device, dtype, shape } = this.#values.C;
    return zeros([batch, ...shape.slice(1)], { device, dtype });
  }

  /**
   * @param u - [batch dModel]
   * @param state - of {@link S4Recurrence.initialState} or an earlier step; it stays valid
   * @returns y [batch dModel] and the state after it
   */
  step(u: Tensor, state: Tensor): { y: Tensor; state: Tensor } {
    const { D } = this.#layer.parameters;
    return scope(() => {
      const { y, next } = stateSpaceStep({ ...this.#values, D }, u, state);
      return { y: this.#layer.output(reshape(y, [u.shape[0]!, -1])), state: next };
    });
  }

  /** Frees what was worked out; parameters belong to whoever made them. */
  dispose(): void {
    for (const value of Object.values(this.#values)) value.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Complex numbers [dModel half 1] one after the other, [count dModel half 2]. */
function stacked(rows: readonly ComplexTensor[]): Tensor {
  const all = rows.map((row) => {
    const values = joined(row);
    return reshape(values, [1, ...values.shape]);
  });
  return concat(all, 0);
}

function diagonalStep(system: S4System, discretization: Discretization): ComplexTensor[] {
  const { logA, B } = discretizeDiagonal(system, discretization);
  return [complexExp(logA), B];
}

/** E, 2 B, D, P and D P / R. */
function lowRankStep({ A, B, P, dt }: S4System): ComplexTensor[] {
  const twice = div(2, dt);
  const one = plusReal(scaled(A, 0), 1);
  const D = complexDiv(one, plusReal(scaled(A, -1), twice));
  const low = P[0]!;
  const through = complexMul(D, low);
  const R = add(mul(sum(complexMul(conjugate(low), through).re, { axis: -2, keepDims: true }), 2), 1);
  return [plusReal(A, twice), scaled(B!, 2), D, low, scaled(through, div(1, R))];
}
