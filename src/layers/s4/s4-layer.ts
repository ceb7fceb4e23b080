import { gelu, mul, sigmoid } from "../../ops/elementwise/index.ts";
import { fftConv } from "../../ops/fft-conv/index.ts";
import { linear } from "../../ops/linear/index.ts";
import { concat, reshape, slice, split } from "../../ops/movement/index.ts";
import type { StreamOptions } from "../../ops/random/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Dropout } from "../dropout.ts";
import type { InitialiseOptions } from "../initialisers.ts";
import type { LinearParameters } from "../linear.ts";
import { deltasOf, type SampleTimes } from "../sample-times.ts";
import { initialiseS4, type S4Initialisation } from "./initialise.ts";
import { scanDiagonal } from "./irregular.ts";
import { type Discretization, diagonalKernels, lowRankKernels } from "./kernels.ts";
import { retuned } from "./retune.ts";
import { type S4KernelParameters, type S4SystemConfig, s4System } from "./system.ts";

/** Sizes and choices of an S4 or S4D layer. */
export interface S4Config extends S4SystemConfig {
  /** States of a feature, counting both of each conjugate pair; default 64. */
  readonly dState: number;
  /** Diagonal plus low rank (S4), or diagonal (S4D). */
  readonly structure: "low-rank" | "diagonal";
  /** Of a diagonal system; default `zoh`. Low rank is always `bilinear`. */
  readonly discretization?: Discretization;
  /** Whether half of the channels look ahead; default false. */
  readonly bidirectional?: boolean;
  /** The length that C is tuned to, with low rank. */
  readonly kernelLength?: number;
  /** Probability that an output of the convolution is dropped in training; default 0. */
  readonly dropout?: number;
  /** Whether a feature is dropped all along the length; default true. */
  readonly tiedDropout?: boolean;
}

/** Parameters of an S4 layer. */
export type S4Parameters = {
  readonly kernel: S4KernelParameters;
  /** [channels dModel] skip; channels count once where they are bidirectional. */
  readonly D: Tensor;
  /** [2 dModel, channels dModel], the values, then the gates. */
  readonly outputLinear: LinearParameters;
};

/** Options of {@link S4Layer.forward}. Times of samples and states are for diagonal layers that do not look ahead. */
export interface S4Options extends SampleTimes {
  /** Step sizes are multiplied by it: 2 for a sequence that was sampled half as often. Default 1. */
  readonly rate?: number;
  /** [batch dModel half 2], what {@link S4Layer.run} or steps gave at the end of what came before; default zero. */
  readonly state?: Tensor | undefined;
  /** Seed and stream of dropout; left out in inference. */
  readonly random?: StreamOptions | undefined;
}

/**
 * A structured state space over every feature, as a convolution over time, then a gated linear unit.
 *
 *     dx/dt = A x + B u, y = C x + D u with a step size of its own for each feature;  out = GLU(outputLinear GELU(y))
 *
 * @see Gu, Goel & Ré 2021 (S4); Gu, Gupta, Goel & Ré 2022 (S4D)
 */
export class S4Layer {
  readonly config: S4Config;
  readonly parameters: S4Parameters;
  readonly #dropout: Dropout;

  constructor(config: S4Config, parameters: S4Parameters) {
    this.config = config;
    this.parameters = parameters;
    this.#dropout = new Dropout(config.dropout ?? 0, { tied: config.tiedDropout ?? true });
  }

  /** A layer with new parameters, see {@link initialiseS4}. */
  static create(config: S4Config, start: S4Initialisation, options: InitialiseOptions): S4Layer {
    return new S4Layer(config, initialiseS4(config, start, options));
  }

  /**
   * The convolution kernels, one for each channel, [length dModel].
   *
   * @throws ConfigError with low rank if the length is beyond the one that C is tuned to
   */
  kernels(length: number, rate = 1): Tensor[] {
    const { structure, discretization = "zoh" } = this.config;
    const system = s4System(this.parameters.kernel, this.config, rate);
    if (structure === "diagonal") return diagonalKernels(system, length, discretization);
    const kernelLength = Math.round(this.#kernelLength / rate);
    if (length > kernelLength) {
      throw new ConfigError(
        `S4Layer: length must be at most ${kernelLength}, which C is tuned to; got ${length}; make a layer with lengthened(${length})`,
        { length, kernelLength },
      );
    }
    return lowRankKernels(system, length, kernelLength);
  }

  /**
   * Equally spaced samples are convolved; samples at given times, and those after a given state, are scanned.
   *
   * @param u - [batch length dModel]
   * @returns [batch length dModel]
   * @throws ShapeError if shapes do not fit; ConfigError if the length is beyond the one that C is tuned to, if time stamps decrease, or
   *   if the layer cannot be scanned
   */
  forward(u: Tensor, options: S4Options = {}): Tensor {
    return scope(() => {
      const deltas = deltasOf("S4Layer", options, u);
      const y = deltas || options.state ? this.#scanned(u, options, deltas).y : this.#convolved(u, options.rate ?? 1);
      return this.output(y, options.random);
    });
  }

  /** {@link S4Layer.forward} by a scan, and the state after the last sample, [batch dModel half 2]. */
  run(u: Tensor, options: S4Options = {}): { y: Tensor; state: Tensor } {
    return scope(() => {
      const { y, state } = this.#scanned(u, options, deltasOf("S4Layer", options, u));
      return { y: this.output(y, options.random), state };
    });
  }

  #scanned(u: Tensor, { rate = 1, state }: S4Options, deltas: Tensor | undefined): { y: Tensor; state: Tensor } {
    const { structure, bidirectional, discretization = "zoh" } = this.config;
    if (structure !== "diagonal" || bidirectional) {
      const kind = bidirectional ? "one that looks ahead" : "one of low rank";
      throw new ConfigError(
        `S4Layer: a layer must be diagonal and causal for a scan with times of samples or a state; got ${kind}; leave both out, or take steps with S4Recurrence`,
        { structure, bidirectional },
      );
    }
    const system = s4System(this.parameters.kernel, this.config, rate);
    return scanDiagonal(system, { u, deltas, state, D: this.parameters.D, discretization });
  }

  #convolved(u: Tensor, rate: number): Tensor {
    const { D } = this.parameters;
    const kernels = this.kernels(u.shape[1]!, rate);
    const channels = D.shape[0]!;
    const parts = Array.from({ length: channels }, (_, channel) => {
      const after = this.config.bidirectional ? kernels[channels + channel] : undefined;
      return fftConv(u, kernels[channel]!, { after, D: rowOf(D, channel) });
    });
    return parts.length === 1 ? parts[0]! : concat(parts, -1);
  }

  /**
   * The same system for longer sequences: C tuned to another length, all other parameters shared.
   *
   * @returns a layer whose C is its own, to be disposed with it
   */
  async lengthened(length: number): Promise<S4Layer> {
    if (this.config.structure === "diagonal") return this;
    const C = await retuned(this.parameters, this.config, { from: this.#kernelLength, to: length });
    const kernel = { ...this.parameters.kernel, C };
    return new S4Layer({ ...this.config, kernelLength: length }, { ...this.parameters, kernel });
  }

  /** Activation, mixing of features and gate: y [... channels dModel] to [... dModel]. */
  output(y: Tensor, random?: StreamOptions): Tensor {
    const { weight, bias } = this.parameters.outputLinear;
    const mixed = linear(this.#dropout.forward(gelu(y), random), weight, bias);
    const { dModel } = this.config;
    const [value, gate] = split(mixed, [dModel, dModel]) as [Tensor, Tensor];
    return mul(value, sigmoid(gate));
  }

  get #kernelLength(): number {
    const { kernelLength } = this.config;
    if (kernelLength !== undefined) return kernelLength;
    throw new ConfigError(
      "S4Layer: a low-rank system must have a kernelLength; got none; give the length that C is tuned to",
      {
        key: "kernelLength",
      },
    );
  }
}

function rowOf(x: Tensor, i: number): Tensor {
  return reshape(slice(x, { axis: 0, start: i, end: i + 1 }), [x.shape[1]!]);
}
