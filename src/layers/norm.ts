import { layerNorm } from "../ops/layer-norm/index.ts";
import { rmsNorm } from "../ops/rms-norm/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { constantParameter, type InitialiseOptions } from "./initialisers.ts";

/** Scale [channels] and, for layer norm, shift [channels]. */
export type NormParameters = { readonly weight: Tensor; readonly bias?: Tensor };

/** Which statistic a norm divides by. */
export type NormKind = "rms" | "layer";

/** RMS or layer norm over the last axis, with the addition to the residual stream fused in. */
export class Norm {
  readonly kind: NormKind;
  readonly epsilon: number;
  readonly parameters: NormParameters;

  constructor(kind: NormKind, epsilon: number, parameters: NormParameters) {
    this.kind = kind;
    this.epsilon = epsilon;
    this.parameters = parameters;
  }

  /** New parameters: scale 1, shift 0. */
  static create(kind: NormKind, channels: number, epsilon: number, options: InitialiseOptions): Norm {
    const weight = constantParameter([channels], 1, options);
    const parameters = kind === "rms" ? { weight } : { weight, bias: constantParameter([channels], 0, options) };
    return new Norm(kind, epsilon, parameters);
  }

  /**
   * @param x - [... channels]
   * @param residual - [... channels] added to `x` before the norm
   * @returns y [... channels], the normalised sum; sum [... channels], the new residual stream
   */
  forward(x: Tensor, residual?: Tensor): { y: Tensor; sum: Tensor } {
    const { weight, bias } = this.parameters;
    const options = { epsilon: this.epsilon, residual };
    return this.kind === "rms" ? rmsNorm(x, weight, options) : layerNorm(x, weight, bias, options);
  }
}
