import { Dropout } from "../layers/dropout.ts";
import { Embedding } from "../layers/embedding.ts";
import type { InitialiseOptions } from "../layers/initialisers.ts";
import { Linear, type LinearParameters } from "../layers/linear.ts";
import { cast } from "../ops/cast/index.ts";
import { add, div, maximum, minimum, mul, sub } from "../ops/elementwise/index.ts";
import { reshape } from "../ops/movement/index.ts";
import { mean, sum } from "../ops/reduce/index.ts";
import type { Device } from "../tensor/device.ts";
import type { DType } from "../tensor/dtype.ts";
import { ConfigError } from "../tensor/errors.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { Random } from "../tensor/random.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import {
  type ClassifierMixerConfig,
  type ClassifierMixerParameters,
  classifierMixer,
  initialiseMixer,
  type Mixer,
  type MixOptions,
} from "./classifier-mixers/index.ts";
import {
  type ClassifierNorm,
  type ClassifierNormKind,
  type ClassifierNormParameters,
  classifierNorm,
  initialiseNorm,
} from "./classifier-norm.ts";

/** Sizes and choices of a {@link SequenceClassifier}. */
export interface SequenceClassifierConfig {
  /** Numbers at a time step; this or `vocabSize`. */
  readonly inputSize?: number;
  /** Ids are below this, where a time step is an id. */
  readonly vocabSize?: number;
  readonly classes: number;
  readonly dModel: number;
  readonly nLayer: number;
  /** Of every layer. */
  readonly mixer: ClassifierMixerConfig;
  /** Default `layer`. */
  readonly norm?: ClassifierNormKind;
  /** Whether a layer's norm comes before it, and not after the addition to its input; default false. */
  readonly prenorm?: boolean;
  /** Whether one more norm comes before the pooling; default false. */
  readonly finalNorm?: boolean;
  /** Probability that an element of a layer's output is dropped in training; default 0. */
  readonly dropout?: number;
  /** Whether a feature is dropped all along the length; default true. */
  readonly tiedDropout?: boolean;
  /** What of a sequence is classified: the mean over its samples, or the last one; default `mean`. */
  readonly pooling?: "mean" | "last";
}

/** Parameters of a {@link SequenceClassifier}. */
export type SequenceClassifierParameters = {
  /** [dModel inputSize] and a bias, or the embedding [vocabSize dModel]. */
  readonly encoder: LinearParameters;
  readonly layers: {
    readonly [index: string]: { readonly norm: ClassifierNormParameters; readonly mixer: ClassifierMixerParameters };
  };
  /** Only with `finalNorm`. */
  readonly norm?: ClassifierNormParameters;
  /** [classes dModel] */
  readonly decoder: LinearParameters;
};

/** Options of {@link SequenceClassifier.forward}. */
export interface ClassifyOptions extends MixOptions {
  /** int32 [batch], samples of each row, at least 1; left out where all rows are as long as the tensor. */
  readonly lengths?: Tensor | undefined;
}

/**
 * Classes of whole sequences: an encoder, residual layers with norms, the mean over time or the last sample, a linear decoder.
 *
 *     h = encoder x;  h = norm(h + mixer(h)) for each layer, or h + mixer(norm(h));  logits = decoder pool h
 *
 * Samples behind a row's length take no part in the pooling. A mixer that looks ahead sees zeros there.
 *
 * @see Gu, Goel & Ré 2021 (S4), appendix D; `example.py` of state-spaces/s4
 */
export class SequenceClassifier {
  readonly config: SequenceClassifierConfig;
  readonly parameters: SequenceClassifierParameters;
  readonly #layers: readonly { readonly norm: ClassifierNorm; readonly mixer: Mixer }[];
  readonly #norm: ClassifierNorm | undefined;
  readonly #dropout: Dropout;

  constructor(config: SequenceClassifierConfig, parameters: SequenceClassifierParameters) {
    checkInput(config);
    this.config = config;
    this.parameters = parameters;
    const { mixer: choice, dModel, norm: kind = "layer", dropout = 0, tiedDropout = true } = config;
    this.#dropout = new Dropout(dropout, { tied: tiedDropout });
    this.#layers = Array.from({ length: config.nLayer }, (_, i) => {
      const { norm, mixer } = parameters.layers[i]!;
      return { norm: classifierNorm(kind, norm), mixer: classifierMixer(choice, dModel, mixer) };
    });
    this.#norm = config.finalNorm ? classifierNorm(kind, parameters.norm!) : undefined;
  }

  /** A model with new parameters: linear layers as PyTorch draws them, an embedding of standard deviation 1, mixers as their papers do. */
  static create(
    config: SequenceClassifierConfig,
    given: { device: Device; dtype?: DType; seed?: number },
  ): SequenceClassifier {
    checkInput(config);
    const options: InitialiseOptions = { ...given, random: new Random(given.seed ?? 0) };
    const { inputSize, vocabSize, classes, dModel, nLayer, norm: kind = "layer", mixer } = config;
    const encoder = vocabSize
      ? Embedding.create(vocabSize, dModel, 1, options).parameters
      : Linear.create(inputSize!, dModel, true, options).parameters;
    const layers: Record<string, SequenceClassifierParameters["layers"][string]> = {};
    for (let i = 0; i < nLayer; i++) {
      layers[i] = {
        norm: initialiseNorm(kind, dModel, options),
        mixer: initialiseMixer(mixer, dModel, options),
      };
    }
    return new SequenceClassifier(config, {
      encoder,
      layers,
      ...(config.finalNorm ? { norm: initialiseNorm(kind, dModel, options) } : {}),
      decoder: Linear.create(dModel, classes, true, options).parameters,
    });
  }

  /**
   * @param x - [batch length inputSize], or int32 ids [batch length]
   * @returns logits [batch classes]
   * @throws ShapeError if x does not fit the configuration; ConfigError if it is longer than low-rank kernels are tuned to, or if the
   *   mixer does not take an option
   */
  forward(x: Tensor, options: ClassifyOptions = {}): Tensor {
    const { encoder, decoder } = this.parameters;
    return scope(() => {
      const embedded = this.config.vocabSize
        ? new Embedding(encoder as { weight: Tensor }).forward(x)
        : new Linear(encoder).forward(x);
      const mask = options.lengths && maskOf(options.lengths, embedded);
      return new Linear(decoder).forward(this.#pooled(this.#through(embedded, options, mask), mask, options.lengths));
    });
  }

  /** All layers, [batch length dModel] to the same. */
  #through(embedded: Tensor, options: ClassifyOptions, mask: Tensor | undefined): Tensor {
    const normOptions = { training: options.random !== undefined, mask };
    let h = embedded;
    // what a layer gave and the next norm adds to h
    let mixed: Tensor | undefined;
    for (const [i, { norm }] of this.#layers.entries()) {
      if (this.config.prenorm) {
        const { y, sum } = mixed ? norm(mixed, h, normOptions) : norm(h, undefined, normOptions);
        h = sum;
        mixed = this.#mixed(i, y, options, mask);
      } else h = norm(this.#mixed(i, h, options, mask), h, normOptions).y;
    }
    if (this.#norm) return (mixed ? this.#norm(mixed, h, normOptions) : this.#norm(h, undefined, normOptions)).y;
    return mixed ? add(h, mixed) : h;
  }

  #mixed(i: number, u: Tensor, { rate, deltas, random }: ClassifyOptions, mask: Tensor | undefined): Tensor {
    const own = random && { ...random, stream: (random.stream ?? 0) * 2 * this.config.nLayer + 2 * i };
    const after = own && { ...own, stream: own.stream + 1 };
    const looksAhead = this.config.mixer.kind === "s4" && this.config.mixer.bidirectional;
    const seen = mask && looksAhead ? mul(u, mask) : u;
    return this.#dropout.forward(this.#layers[i]!.mixer(seen, { rate, deltas, random: own }), after);
  }

  /** [batch length dModel] to [batch dModel]. */
  #pooled(h: Tensor, mask: Tensor | undefined, lengths: Tensor | undefined): Tensor {
    const [batch, length] = h.shape as [number, number];
    if (this.config.pooling !== "last") {
      if (!mask || !lengths) return mean(h, { axis: 1 });
      return div(sum(mul(h, mask), { axis: 1 }), cast(reshape(lengths, [batch, 1]), h.dtype as "float32"));
    }
    const last = lengths ? sub(cast(reshape(lengths, [batch, 1, 1]), h.dtype as "float32"), 1) : length - 1;
    const distance = sub(last, positions(h));
    // 1 where the distance is 0, and 0 at other whole numbers
    const chosen = maximum(sub(1, mul(distance, distance)), 0);
    return sum(mul(h, chosen), { axis: 1 });
  }

  /** Frees the parameters. */
  dispose(): void {
    for (const [, parameter] of flattenParameters(this.parameters)) parameter.dispose();
  }
}

function checkInput({ inputSize, vocabSize }: SequenceClassifierConfig): void {
  if ((inputSize === undefined) !== (vocabSize === undefined)) return;
  throw new ConfigError(
    `SequenceClassifier: one of inputSize and vocabSize must be given; got ${inputSize} and ${vocabSize}; choose what a time step is`,
    { inputSize, vocabSize },
  );
}

/** 0, 1, 2, ..., [1 length 1]. */
function positions({ shape, device, dtype }: Tensor): Tensor {
  const length = shape[1]!;
  return tensor(
    Float64Array.from({ length }, (_, t) => t),
    [1, length, 1],
    { device, dtype },
  );
}

/** 1 before a row's end and 0 behind it, [batch length 1]. */
function maskOf(lengths: Tensor, h: Tensor): Tensor {
  const count = cast(reshape(lengths, [lengths.shape[0]!, 1, 1]), h.dtype as "float32");
  return minimum(maximum(sub(count, positions(h)), 0), 1);
}
