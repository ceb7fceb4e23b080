import { linear } from "../ops/linear/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type InitialiseOptions, linearBound, uniformParameter } from "./initialisers.ts";

/** Weight [outFeatures inFeatures] and optional bias [outFeatures]. */
export type LinearParameters = { readonly weight: Tensor; readonly bias?: Tensor };

/** y = W x + b over the last axis. */
export class Linear {
  readonly parameters: LinearParameters;

  constructor(parameters: LinearParameters) {
    this.parameters = parameters;
  }

  /** New parameters as PyTorch draws them: uniform in +-1/sqrt(inFeatures). */
  static create(inFeatures: number, outFeatures: number, bias: boolean, options: InitialiseOptions): Linear {
    const bound = linearBound(inFeatures);
    const weight = uniformParameter([outFeatures, inFeatures], bound, options);
    return new Linear(bias ? { weight, bias: uniformParameter([outFeatures], bound, options) } : { weight });
  }

  /** @param x - [... inFeatures]; @returns [... outFeatures] */
  forward(x: Tensor): Tensor {
    return linear(x, this.parameters.weight, this.parameters.bias);
  }
}
