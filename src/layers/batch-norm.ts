import { foundNonFinite } from "../ops/cast/index.ts";
import { add, div, maximum, mul, sqrt, square, sub } from "../ops/elementwise/index.ts";
import { sgdUpdate } from "../ops/optimizer-update/index.ts";
import { mean, sum } from "../ops/reduce/index.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { constantParameter, type InitialiseOptions } from "./initialisers.ts";

/** Scale and shift, which are learnt, and the running mean and variance, which training keeps; all [channels]. */
export type BatchNormParameters = {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly runningMean: Tensor;
  readonly runningVariance: Tensor;
};

/** Options of {@link BatchNorm.forward}. */
export interface BatchNormOptions {
  /** Whether to normalise by the batch itself and to move the running values; default false, by the running values. */
  readonly training?: boolean;
  /** [batch length 1], 1 where a sample counts and 0 where it is padding; left out where all count. */
  readonly mask?: Tensor | undefined;
}

/** Share of a batch in the running values. */
const MOMENTUM = 0.1;

/**
 * Norm of every channel over all samples of a batch.
 *
 *     y = (x - mean) / sqrt(variance + epsilon) * weight + bias
 *
 * Running values move by a tenth towards each batch that is trained on, towards its variance with one degree of freedom less. They have
 * no gradient; they are among the parameters so that they are saved with them.
 *
 * @see Ioffe & Szegedy 2015, "Batch normalization", algorithms 1 and 2; torch.nn.BatchNorm1d
 */
export class BatchNorm {
  readonly epsilon: number;
  readonly parameters: BatchNormParameters;

  constructor(epsilon: number, parameters: BatchNormParameters) {
    this.epsilon = epsilon;
    this.parameters = parameters;
  }

  /** New parameters: scale 1, shift 0, running mean 0 and variance 1. */
  static create(channels: number, epsilon: number, options: InitialiseOptions): BatchNorm {
    const all = (value: number): Tensor => constantParameter([channels], value, options);
    return new BatchNorm(epsilon, { weight: all(1), bias: all(0), runningMean: all(0), runningVariance: all(1) });
  }

  /**
   * @param x - [batch length channels], or [batch channels] when not training
   * @returns of the shape of `x`
   */
  forward(x: Tensor, { training = false, mask }: BatchNormOptions = {}): Tensor {
    return scope(() => (training ? this.#byBatch(x, mask) : this.#byRunning(x)));
  }

  #byRunning(x: Tensor): Tensor {
    const { weight, bias, runningMean, runningVariance } = this.parameters;
    const scale = div(weight, sqrt(add(runningVariance, this.epsilon)));
    return add(mul(x, scale), sub(bias, mul(runningMean, scale)));
  }

  #byBatch(x: Tensor, mask: Tensor | undefined): Tensor {
    const { weight, bias } = this.parameters;
    const axis = [0, 1];
    const count = mask ? sum(mask) : tensor([x.shape[0]! * x.shape[1]!], [1], { device: x.device, dtype: x.dtype });
    const over = (of: Tensor): Tensor => (mask ? div(sum(mul(of, mask), { axis }), count) : mean(of, { axis }));
    const middle = over(x);
    const centred = sub(x, middle);
    const variance = over(square(centred));
    this.#move(middle, mul(variance, div(count, maximum(sub(count, 1), 1))));
    return add(mul(centred, div(weight, sqrt(add(variance, this.epsilon)))), bias);
  }

  /** Moves the running values; a batch that is not finite leaves them. */
  #move(middle: Tensor, variance: Tensor): void {
    const { runningMean, runningVariance } = this.parameters;
    const skip = foundNonFinite([middle, variance]);
    const options = { learningRate: MOMENTUM, momentum: 0, weightDecay: 0, skip };
    sgdUpdate(runningMean, sub(runningMean, middle), undefined, options);
    sgdUpdate(runningVariance, sub(runningVariance, variance), undefined, options);
  }
}
