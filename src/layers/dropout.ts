import { dropout, tiedDropout } from "../ops/dropout/index.ts";
import type { StreamOptions } from "../ops/random/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Dropout while training, nothing in inference. Has no parameters and no random state of its own. */
export class Dropout {
  /** Probability of an element to be zeroed. */
  readonly p: number;
  /** Whether a channel is dropped all along the length. */
  readonly tied: boolean;

  constructor(p: number, options: { tied?: boolean } = {}) {
    this.p = p;
    this.tied = options.tied ?? false;
  }

  /**
   * @param x - any shape; [batch length channels] for tied masks
   * @param random - seed and a stream that no other use in this step has; left out in inference
   * @returns `x` itself in inference
   */
  forward(x: Tensor, random?: StreamOptions): Tensor {
    if (!random) return x;
    return (this.tied ? tiedDropout : dropout)(x, { ...random, p: this.p });
  }
}
