import { Dropout } from "../layers/dropout.ts";
import { Linear, type LinearParameters } from "../layers/linear.ts";
import { Norm, type NormParameters } from "../layers/norm.ts";
import { type S4Config, S4Layer, type S4Parameters } from "../layers/s4/s4-layer.ts";
import { add } from "../ops/elementwise/index.ts";
import type { StreamOptions } from "../ops/random/index.ts";
import { mean } from "../ops/reduce/index.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Sizes and choices of a {@link SequenceClassifier}. */
export interface SequenceClassifierConfig {
  /** Numbers at a time step. */
  readonly inputSize: number;
  readonly classes: number;
  readonly nLayer: number;
  /** Of every layer. */
  readonly mixer: S4Config;
  /** Whether a layer's norm comes before it, and not after the addition to its input; default false. */
  readonly prenorm?: boolean;
  /** Probability that an element of a layer's output is dropped in training; default 0. */
  readonly dropout?: number;
}

/** Parameters of a {@link SequenceClassifier}. */
export type SequenceClassifierParameters = {
  /** [dModel inputSize] */
  readonly encoder: LinearParameters;
  readonly layers: { readonly [index: string]: { readonly norm: NormParameters; readonly mixer: S4Parameters } };
  /** [classes dModel] */
  readonly decoder: LinearParameters;
};

/** Options of {@link SequenceClassifier.forward}. */
export interface ClassifyOptions {
  /** Step sizes are multiplied by it: 2 for sequences that were sampled half as often as those of training. Default 1. */
  readonly rate?: number;
  /** Seed and stream of dropout; left out in inference. */
  readonly random?: StreamOptions | undefined;
}

const NORM_EPSILON = 1e-5;

/**
 * Classes of whole sequences: a linear encoder, residual layers with layer norms, the mean over time, a linear decoder.
 *
 *     h = encoder x;  h = norm(h + mixer(h)) for each layer, or h + mixer(norm(h));  logits = decoder mean over time of h
 *
 * @see Gu, Goel & Ré 2021 (S4), appendix D; `example.py` of state-spaces/s4
 */
export class SequenceClassifier {
  readonly config: SequenceClassifierConfig;
  readonly parameters: SequenceClassifierParameters;
  readonly #layers: readonly { norm: Norm; mixer: S4Layer }[];
  readonly #dropout: Dropout;

  constructor(config: SequenceClassifierConfig, parameters: SequenceClassifierParameters) {
    this.config = config;
    this.parameters = parameters;
    this.#dropout = new Dropout(config.dropout ?? 0, { tied: config.mixer.tiedDropout ?? true });
    this.#layers = Array.from({ length: config.nLayer }, (_, i) => {
      const { norm, mixer } = parameters.layers[i]!;
      return { norm: new Norm("layer", NORM_EPSILON, norm), mixer: new S4Layer(config.mixer, mixer) };
    });
  }

  /**
   * @param x - [batch length inputSize]
   * @returns logits [batch classes]
   * @throws ShapeError if x does not fit the configuration; ConfigError if it is longer than low-rank kernels are tuned to
   */
  forward(x: Tensor, options: ClassifyOptions = {}): Tensor {
    const { encoder, decoder } = this.parameters;
    return scope(() => {
      let h = new Linear(encoder).forward(x);
      this.#layers.forEach((_, i) => {
        h = this.#layer(i, h, options);
      });
      return new Linear(decoder).forward(mean(h, { axis: 1 }));
    });
  }

  #layer(i: number, h: Tensor, { rate, random }: ClassifyOptions): Tensor {
    const { norm, mixer } = this.#layers[i]!;
    const own = random && { ...random, stream: (random.stream ?? 0) * 2 * this.config.nLayer + 2 * i };
    const after = own && { ...own, stream: own.stream + 1 };
    const mixed = (u: Tensor): Tensor => this.#dropout.forward(mixer.forward(u, { rate, random: own }), after);
    if (this.config.prenorm) return add(h, mixed(norm.forward(h).y));
    return norm.forward(add(h, mixed(h))).y;
  }
}
