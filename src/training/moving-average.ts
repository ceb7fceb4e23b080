import { copy } from "../ops/movement/index.ts";
import { averageUpdate } from "../ops/optimizer-update/index.ts";
import { ConfigError } from "../tensor/errors.ts";
import { flattenParameters, type Parameters } from "../tensor/parameters.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Exponential moving average of parameters, which often predicts better than the last ones.
 *
 *     average = decay average + (1 - decay) parameter
 *
 * It begins with a copy of the parameters.
 *
 * @see Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging"
 */
export class MovingAverage implements Disposable {
  readonly decay: number;
  readonly #parameters: ReadonlyMap<string, Tensor>;
  readonly #averages = new Map<string, Tensor>();

  /** @throws ConfigError if decay is not from 0 up to, not including, 1 */
  constructor(parameters: Parameters, decay: number) {
    if (!(decay >= 0 && decay < 1)) {
      throw new ConfigError(`MovingAverage: decay must be from 0 to below 1; got ${decay}; 0.999 is usual`, { decay });
    }
    this.decay = decay;
    this.#parameters = flattenParameters(parameters);
    for (const [name, parameter] of this.#parameters) this.#averages.set(name, copy(parameter));
  }

  /** Takes in the parameters as they are now. */
  update(): void {
    for (const [name, parameter] of this.#parameters) averageUpdate(this.#averages.get(name)!, parameter, this.decay);
  }

  /** The averages by the parameters' dotted names. */
  tensors(): ReadonlyMap<string, Tensor> {
    return this.#averages;
  }

  /** Exchanges parameters and averages: call it before the model is to predict with the averages, and again after. */
  swap(): void {
    scope(() => {
      for (const [name, parameter] of this.#parameters) {
        const average = this.#averages.get(name)!;
        const kept = copy(parameter);
        // a decay of 0 copies
        averageUpdate(parameter, average, 0);
        averageUpdate(average, kept, 0);
      }
    });
  }

  /** Frees the averages. Idempotent. */
  dispose(): void {
    for (const average of this.#averages.values()) average.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
