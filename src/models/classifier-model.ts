import type { StreamOptions } from "../ops/random/index.ts";
import type { Parameters } from "../tensor/parameters.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a batch of sequences comes with. */
export interface ClassifierForwardOptions {
  /** int32 [batch], how long each row is; left out where all are as long as the tensor. */
  readonly lengths?: Tensor | undefined;
  /** [batch length], what lies between a sample and the one before; left out where samples are regular. */
  readonly deltas?: Tensor | undefined;
  /** Seed and stream of dropout; left out in inference. */
  readonly random?: StreamOptions | undefined;
}

/** What every classifier of sequences offers, whatever it is made of. */
export interface ClassifierModel {
  readonly parameters: Parameters;
  readonly config: { readonly classes: number };
  /**
   * @param x - [batch length inputSize], or int32 [batch length] for ids
   * @returns logits [batch classes]
   */
  forward(x: Tensor, options?: ClassifierForwardOptions): Tensor;
}
