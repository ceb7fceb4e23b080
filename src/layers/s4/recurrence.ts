import { ConfigError } from "../../tensor/errors.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { denseSteps, eigenSteps, type HostSystem } from "./matrix-steps.ts";
import { readDouble, readFeatures, retuned } from "./retune.ts";
import type { S4Layer } from "./s4-layer.ts";
import { diagonalSteps, initialState, linearSteps, type S4Steps } from "./steps.ts";
import { s4System } from "./system.ts";

/**
 * How the steps of a low-rank layer are taken. With N states a feature: `linear` in order N by Woodbury's formula; `dense` in order N^2,
 * A-bar as a matrix; `diagonal` in order N in the basis of eigenvectors, where that is well-conditioned.
 */
export type S4StepMode = "linear" | "dense" | "diagonal";

/**
 * An S4 or S4D layer step by step: constant time and memory a step, any length. Its outputs are those of the convolution.
 *
 * What steps need is worked out once, from the parameters as they are then. Diagonal: x' = A-bar x + B-bar u. Low rank, in order N:
 *
 *     x' = D (y - P R^-1 Q* D y),  y = E x - P Q* x + 2 B u,  E = 2 / dt + Lambda,  D = 1 / (2 / dt - Lambda),  R = 1 + Q* D P
 *
 * @see Gu, Goel & Ré 2021 (S4), section 3.1 and appendix C.2
 */
export class S4Recurrence {
  readonly #layer: S4Layer;
  readonly #steps: S4Steps;

  private constructor(layer: S4Layer, steps: S4Steps) {
    this.#layer = layer;
    this.#steps = steps;
  }

  /**
   * @param rate - of the steps, as in {@link S4Layer.forward}
   * @param mode - of a low-rank layer; default `linear`. Diagonal layers are always `diagonal`
   * @throws ConfigError for layers that look ahead; if the mode does not suit the layer
   */
  static async of(layer: S4Layer, rate = 1, mode?: S4StepMode): Promise<S4Recurrence> {
    const { config, parameters } = layer;
    const { kernel } = parameters;
    if (config.bidirectional) {
      throw new ConfigError(
        "S4Recurrence: the layer must be causal; got a bidirectional one; run it as a convolution",
        {},
      );
    }
    if (config.structure === "diagonal") {
      if (mode && mode !== "diagonal") {
        throw new ConfigError(`S4Recurrence: mode of a diagonal layer must be diagonal; got ${mode}; leave it out`, {
          mode,
        });
      }
      const steps = scope(() => diagonalSteps(s4System(kernel, config, rate), config.discretization ?? "zoh"));
      return new S4Recurrence(layer, steps);
    }
    const C = await retuned(parameters, config, { from: config.kernelLength ?? 0, to: 0 });
    try {
      return new S4Recurrence(layer, await lowRankSteps(layer, C, rate, mode ?? "linear"));
    } finally {
      C.dispose();
    }
  }

  /** Zeros: [batch dModel half 2], or in mode `diagonal` of low rank [batch dModel dState 2], in the basis of eigenvectors. */
  initialState(batch: number): Tensor {
    return initialState(this.#steps, batch);
  }

  /**
   * @param u - [batch dModel]
   * @param state - of {@link S4Recurrence.initialState} or an earlier step; it stays valid
   * @returns y [batch dModel] and the state after it
   */
  step(u: Tensor, state: Tensor): { y: Tensor; state: Tensor } {
    const { D } = this.#layer.parameters;
    return scope(() => {
      const { y, next } = this.#steps.step(state, u, D);
      return { y: this.#layer.output(y), state: next };
    });
  }

  /** Frees what was worked out; parameters belong to whoever made them. */
  dispose(): void {
    for (const value of this.#steps.kept) value.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Steps of a low-rank layer; C as it is, not tuned. */
async function lowRankSteps(layer: S4Layer, C: Tensor, rate: number, mode: S4StepMode): Promise<S4Steps> {
  const { config, parameters } = layer;
  if (mode === "linear") return scope(() => linearSteps(s4System({ ...parameters.kernel, C }, config, rate)));
  const host = await hostSystem(layer, C, rate);
  return mode === "dense" ? denseSteps(host) : eigenSteps(host);
}

/** A low-rank layer's system in float64; C as it is, not tuned. */
async function hostSystem({ config, parameters }: S4Layer, C: Tensor, rate: number): Promise<HostSystem> {
  const { B } = parameters.kernel;
  if (!B) throw new ConfigError("S4Recurrence: a low-rank system must have B; got none; give it", { key: "B" });
  const features = (await readFeatures(parameters, config)).map((one) => ({ ...one, dt: one.dt * rate }));
  const [input, output] = await Promise.all([readDouble(B), readDouble(C)]);
  const { half } = features[0]!;
  const [copies, channels] = [B.shape[1]!, C.shape[0]!];
  return {
    ...{ features, channels, like: C },
    B: features.map((_, i) => input.slice(2 * (i % copies) * half, 2 * ((i % copies) + 1) * half)),
    C: features.map((_, i) =>
      Float64Array.from({ length: 2 * half * channels }, (__, k) => {
        const channel = Math.floor(k / (2 * half));
        return output[2 * (channel * config.dModel + i) * half + (k % (2 * half))]!;
      }),
    ),
  };
}
