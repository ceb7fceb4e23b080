import { mul, silu } from "../ops/elementwise/index.ts";
import { linear } from "../ops/linear/index.ts";
import { split } from "../ops/movement/index.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type InitialiseOptions, normalParameter } from "./initialisers.ts";

/** Gate and value from one projection. */
export type GatedMlpParameters = {
  /** [2 hidden dModel]: rows of the gate, then of the value. */
  readonly inProj: { readonly weight: Tensor };
  /** [dModel hidden] */
  readonly outProj: { readonly weight: Tensor };
};

/**
 * SwiGLU: y = outProj(SiLU(gate) value).
 *
 * @see Shazeer 2020, "GLU variants improve transformer", equation 6
 */
export class GatedMlp {
  readonly parameters: GatedMlpParameters;

  constructor(parameters: GatedMlpParameters) {
    this.parameters = parameters;
  }

  /** New parameters, normal; `outStd` is smaller by the number of residual additions. */
  static create(
    dModel: number,
    hidden: number,
    { std, outStd }: { std: number; outStd: number },
    options: InitialiseOptions,
  ): GatedMlp {
    return new GatedMlp({
      inProj: { weight: normalParameter([2 * hidden, dModel], std, options) },
      outProj: { weight: normalParameter([dModel, hidden], outStd, options) },
    });
  }

  /** @param x - [... dModel]; @returns the same shape */
  forward(x: Tensor): Tensor {
    const { inProj, outProj } = this.parameters;
    const hidden = outProj.weight.shape[1]!;
    return scope(() => {
      const [gate, value] = split(linear(x, inProj.weight), [hidden, hidden]) as [Tensor, Tensor];
      return linear(mul(silu(gate), value), outProj.weight);
    });
  }
}
