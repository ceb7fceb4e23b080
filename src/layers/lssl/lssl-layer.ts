import { add, gelu } from "../../ops/elementwise/index.ts";
import { fftConv } from "../../ops/fft-conv/index.ts";
import { linear } from "../../ops/linear/index.ts";
import { concat, reshape, slice, transpose } from "../../ops/movement/index.ts";
import type { StreamOptions } from "../../ops/random/index.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Dropout } from "../dropout.ts";
import type { InitialiseOptions } from "../initialisers.ts";
import type { LinearParameters } from "../linear.ts";
import { deltasOf, type SampleTimes } from "../sample-times.ts";
import { initialiseLssl, type LsslInitialisation } from "./initialise.ts";
import { scanIrregular } from "./irregular.ts";
import { krylov, lastState, Powers } from "./krylov.ts";
import { type DiscreteLssl, discretize, type LsslTransition, stepSizes } from "./transition.ts";

/** Sizes and choices of an LSSL layer. */
export interface LsslConfig {
  readonly dModel: number;
  /** States of a feature. */
  readonly dState: number;
  /** Of the generalised bilinear transform: 0 Euler's rule, 1/2 bilinear, 1 Euler's rule backwards. Default 1/2. */
  readonly alpha?: number;
  /** Probability that an output of the convolution is dropped in training; default 0. */
  readonly dropout?: number;
  /** Whether a feature is dropped all along the length; default false. */
  readonly tiedDropout?: boolean;
}

/** Parameters of an LSSL layer. */
export type LsslParameters = {
  readonly transition: LsslTransition;
  /** [dModel] logarithms of step sizes. */
  readonly logDt: Tensor;
  /** [dModel channels dState] */
  readonly C: Tensor;
  /** [dModel channels] skip. */
  readonly D: Tensor;
  /** [dModel, dModel channels], channels of a feature side by side. */
  readonly outputLinear: LinearParameters;
};

/** Options of {@link LsslLayer.forward}. */
export interface LsslOptions extends SampleTimes {
  /** Step sizes are multiplied by it: 2 for a sequence that was sampled half as often. Default 1. */
  readonly rate?: number;
  /** [batch dModel dState], what {@link LsslLayer.run} gave at the end of what came before; default zero. */
  readonly state?: Tensor | undefined;
  /** Seed and stream of dropout; left out in inference. */
  readonly random?: StreamOptions | undefined;
}

/**
 * The linear state-space layer: a state space with a full A over every feature, with a step size of its own.
 *
 *     dx/dt = A x + B u, y = C x + D u;  out = outputLinear GELU(y)
 *
 * Equally spaced samples are convolved with the kernel C A-bar^t B-bar; {@link LsslRecurrence} takes steps; samples at given times are
 * scanned with a transition of their own each.
 *
 * @see Gu et al. 2021, "Combining recurrent, convolutional, and continuous-time models with linear state-space layers"
 */
export class LsslLayer {
  readonly config: LsslConfig;
  readonly parameters: LsslParameters;
  readonly #dropout: Dropout;

  constructor(config: LsslConfig, parameters: LsslParameters) {
    this.config = config;
    this.parameters = parameters;
    this.#dropout = new Dropout(config.dropout ?? 0, { tied: config.tiedDropout ?? false });
  }

  /** A layer with new parameters, see {@link initialiseLssl}. */
  static create(config: LsslConfig, start: LsslInitialisation, options: InitialiseOptions): LsslLayer {
    return new LsslLayer(config, initialiseLssl(config, start, options));
  }

  /**
   * A-bar [dModel dState dState] and B-bar [dModel dState 1].
   *
   * The official code multiplies step sizes by the rate for A-bar only; here both have it, as the continuous system says.
   */
  discrete(rate = 1): DiscreteLssl {
    const { transition, logDt } = this.parameters;
    return scope(() => discretize(transition, stepSizes(logDt, rate), this.config.alpha ?? 0.5));
  }

  /** The convolution kernels, one for each channel, [length dModel]. */
  kernels(length: number, rate = 1): Tensor[] {
    return scope(() => {
      const { A, B } = this.discrete(rate);
      return this.#kernels(new Powers(A), B, length);
    });
  }

  #kernels(powers: Powers, B: Tensor, length: number): Tensor[] {
    const { C } = this.parameters;
    const all = krylov(powers, C, B, length);
    return Array.from({ length: C.shape[1]! }, (_, channel) =>
      reshape(slice(all, { axis: 1, start: channel, end: channel + 1 }), [length, this.config.dModel]),
    );
  }

  /**
   * @param u - [batch length dModel]
   * @returns [batch length dModel]
   * @throws ShapeError if shapes do not fit; ConfigError if time stamps decrease
   */
  forward(u: Tensor, options: LsslOptions = {}): Tensor {
    return scope(() => this.output(this.#states(u, options, false).y, options.random));
  }

  /** {@link LsslLayer.forward}, and the state after the last sample, [batch dModel dState]. */
  run(u: Tensor, options: LsslOptions = {}): { y: Tensor; state: Tensor } {
    return scope(() => {
      const { y, state } = this.#states(u, options, true);
      return { y: this.output(y, options.random), state: state! };
    });
  }

  /** y [batch length dModel channels] before the activation. */
  #states(u: Tensor, options: LsslOptions, wantsState: boolean): { y: Tensor; state: Tensor | undefined } {
    const { rate = 1, state } = options;
    const deltas = deltasOf("LsslLayer", options, u);
    if (deltas) return scanIrregular(this.config, this.parameters, { u, deltas, rate, state });
    const { A, B } = this.discrete(rate);
    const powers = new Powers(A);
    const length = u.shape[1]!;
    const y = this.#convolved(u, this.#kernels(powers, B, length));
    if (!state && !wantsState) return { y, state: undefined };
    const before = state && transpose(state, [1, 2, 0]);
    const after = wantsState ? lastState(powers, B, u) : undefined;
    const carried = before && after ? add(after, powers.applied(length, before)) : after;
    return {
      y: before ? add(y, this.#remembered(powers, before, length)) : y,
      state: carried && transpose(carried, [2, 0, 1]),
    };
  }

  #convolved(u: Tensor, kernels: readonly Tensor[]): Tensor {
    const skips = transpose(this.parameters.D);
    const parts = kernels.map((kernel, channel) => {
      const skip = reshape(slice(skips, { axis: 0, start: channel, end: channel + 1 }), [this.config.dModel]);
      const y = fftConv(u, kernel, { D: skip });
      return reshape(y, [...y.shape, 1]);
    });
    return parts.length === 1 ? parts[0]! : concat(parts, -1);
  }

  /** C A-bar^(t + 1) x for the state x before the first sample, [batch length dModel channels]. */
  #remembered(powers: Powers, x: Tensor, length: number): Tensor {
    const all = krylov(powers, this.parameters.C, powers.applied(1, x), length);
    return transpose(all, [3, 0, 2, 1]);
  }

  /** Activation and mixing of features: y [... dModel channels] to [... dModel]. */
  output(y: Tensor, random?: StreamOptions): Tensor {
    const { weight, bias } = this.parameters.outputLinear;
    const features = reshape(gelu(y), [...y.shape.slice(0, -2), y.shape.at(-2)! * y.shape.at(-1)!]);
    return linear(this.#dropout.forward(features, random), weight, bias);
  }
}
