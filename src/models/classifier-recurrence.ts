import { Embedding } from "../layers/embedding.ts";
import { Linear } from "../layers/linear.ts";
import { add, mul, sub } from "../ops/elementwise/index.ts";
import { copy, reshape } from "../ops/movement/index.ts";
import { StateError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { type MixerSteps, mixerSteps } from "./classifier-mixers/index.ts";
import { type ClassifierNorm, classifierNorm } from "./classifier-norm.ts";
import type { SequenceClassifier } from "./sequence-classifier.ts";
import { TensorState } from "./tensor-state.ts";

/** What a classifier carries from one sample to the next. Its size stays the same, but for attention, which keeps all samples. */
export class ClassifierState extends TensorState {
  /** Layer by layer, what its mixer carries. */
  readonly layers: readonly (readonly Tensor[])[];
  /** [batch dModel], what is classified: the mean so far, or the last sample. */
  readonly pooled: Tensor;

  constructor(layers: readonly (readonly Tensor[])[], pooled: Tensor, position: number) {
    super([...layers.flat(), pooled], position);
    this.layers = layers;
    this.pooled = pooled;
  }

  clone(): ClassifierState {
    this.tensors();
    const layers = this.layers.map((own) => own.map((x) => copy(x)));
    return new ClassifierState(layers, copy(this.pooled), this.position);
  }
}

/**
 * A classifier of sequences sample by sample, with logits of what came so far at any time. They are those of
 * {@link SequenceClassifier.forward} over the same samples; with S4, S4D, LSSL and Mamba a step costs the same however many came before.
 *
 * What steps need is worked out once, from the parameters as they are then; the model must stay.
 *
 * @see Gu, Goel & Ré 2021 (S4), section 3.1: the recurrent and the convolutional view of one model
 */
export class ClassifierRecurrence {
  readonly #model: SequenceClassifier;
  readonly #layers: readonly { readonly norm: ClassifierNorm; readonly steps: MixerSteps }[];
  readonly #norm: ClassifierNorm | undefined;

  private constructor(model: SequenceClassifier, steps: readonly MixerSteps[]) {
    const { norm: kind = "layer", finalNorm } = model.config;
    this.#model = model;
    this.#layers = steps.map((own, i) => ({
      norm: classifierNorm(kind, model.parameters.layers[i]!.norm),
      steps: own,
    }));
    this.#norm = finalNorm ? classifierNorm(kind, model.parameters.norm!) : undefined;
  }

  /**
   * @param rate - of the steps, as in {@link SequenceClassifier.forward}
   * @throws ConfigError for mixers that look ahead, and for mixers that do not take a rate
   */
  static async of(model: SequenceClassifier, rate = 1): Promise<ClassifierRecurrence> {
    const { nLayer, mixer, dModel } = model.config;
    const steps: MixerSteps[] = [];
    for (let i = 0; i < nLayer; i++) {
      steps.push(await mixerSteps(mixer, dModel, model.parameters.layers[i]!.mixer, rate));
    }
    return new ClassifierRecurrence(model, steps);
  }

  /** Before the first sample. */
  initialState(batch: number): ClassifierState {
    const { device, dtype } = this.#model.parameters.decoder.weight;
    const layers = this.#layers.map(({ steps }) => steps.initialState(batch));
    return new ClassifierState(layers, zeros([batch, this.#model.config.dModel], { device, dtype }), 0);
  }

  /**
   * @param x - [batch inputSize], or int32 ids [batch]
   * @param state - stays valid
   * @returns the state after the sample
   * @throws ShapeError if x does not fit the configuration or the state
   */
  step(x: Tensor, state: ClassifierState): ClassifierState {
    const { vocabSize, pooling = "mean" } = this.#model.config;
    const { encoder } = this.#model.parameters;
    const position = state.position + 1;
    const { layers, pooled } = scope(() => {
      const embedded = vocabSize
        ? reshape(new Embedding(encoder as { weight: Tensor }).forward(reshape(x, [-1, 1])), state.pooled.shape)
        : new Linear(encoder).forward(x);
      const { y, layers } = this.#through(embedded, state);
      const mean = (): Tensor => add(state.pooled, mul(sub(y, state.pooled), 1 / position));
      return { layers, pooled: pooling === "mean" ? mean() : y };
    });
    return new ClassifierState(layers, pooled, position);
  }

  #through(embedded: Tensor, state: ClassifierState): { y: Tensor; layers: (readonly Tensor[])[] } {
    const { prenorm } = this.#model.config;
    const layers: (readonly Tensor[])[] = [];
    let h = embedded;
    this.#layers.forEach(({ norm, steps }, i) => {
      const made = steps.step(prenorm ? norm(h, undefined, {}).y : h, state.layers[i]!);
      layers.push(made.state);
      h = prenorm ? add(h, made.y) : norm(made.y, h, {}).y;
    });
    return { y: this.#norm ? this.#norm(h, undefined, {}).y : h, layers };
  }

  /**
   * @returns logits [batch classes] of the samples so far
   * @throws StateError if there are none
   */
  logits(state: ClassifierState): Tensor {
    if (state.position === 0) {
      throw new StateError("ClassifierRecurrence: at least one sample must have come; got none; take a step first", {});
    }
    return scope(() => new Linear(this.#model.parameters.decoder).forward(state.pooled));
  }

  /** Frees what was worked out; the model belongs to whoever made it. */
  dispose(): void {
    for (const { steps } of this.#layers) steps[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
