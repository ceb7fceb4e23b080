import { add, mul } from "../../ops/elementwise/index.ts";
import { matmul } from "../../ops/matmul/index.ts";
import { reshape, transpose } from "../../ops/movement/index.ts";
import { scope } from "../../tensor/scope.ts";
import { type Tensor, zeros } from "../../tensor/tensor.ts";
import type { LsslLayer } from "./lssl-layer.ts";
import type { DiscreteLssl } from "./transition.ts";

/**
 * An LSSL layer step by step: constant time and memory a step, any length. Its outputs are those of the convolution.
 *
 * A-bar and B-bar are worked out once, from the parameters as they are then.
 *
 *     x[t] = A-bar x[t-1] + B-bar u[t],  y[t] = C x[t] + D u[t]
 *
 * @see Gu et al. 2021 (LSSL), section 3.2
 */
export class LsslRecurrence {
  readonly #layer: LsslLayer;
  readonly #discrete: DiscreteLssl;

  /** @param rate - of the steps, as in {@link LsslLayer.forward} */
  constructor(layer: LsslLayer, rate = 1) {
    this.#layer = layer;
    this.#discrete = layer.discrete(rate);
  }

  /** Zeros [batch dModel dState]. */
  initialState(batch: number): Tensor {
    const { device, dtype, shape } = this.#discrete.A;
    return zeros([batch, ...shape.slice(0, 2)], { device, dtype });
  }

  /**
   * @param u - [batch dModel]
   * @param state - of {@link LsslRecurrence.initialState}, an earlier step or {@link LsslLayer.run}; it stays valid
   * @returns y [batch dModel] and the state after it
   */
  step(u: Tensor, state: Tensor): { y: Tensor; state: Tensor } {
    const { A, B } = this.#discrete;
    const { C, D } = this.#layer.parameters;
    return scope(() => {
      const given = transpose(reshape(u, [...u.shape, 1]), [1, 2, 0]);
      const next = add(matmul(A, transpose(state, [1, 2, 0])), mul(B, given));
      const seen = transpose(matmul(C, next), [2, 0, 1]);
      const y = add(seen, mul(D, reshape(u, [...u.shape, 1])));
      return { y: this.#layer.output(y), state: transpose(next, [2, 0, 1]) };
    });
  }

  /** Frees what was worked out; parameters belong to whoever made them. */
  dispose(): void {
    this.#discrete.A.dispose();
    this.#discrete.B.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
