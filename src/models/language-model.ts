import type { Parameters } from "../tensor/parameters.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a model carries between tokens, as a value independent of the model object; of constant size where it is recurrent. */
export interface RecurrentState extends Disposable {
  readonly position: number;
  readonly batch: number;
  readonly byteLength: number;
  readonly disposed: boolean;
  /** All tensors in a fixed order. */
  tensors(): Tensor[];
  clone(): RecurrentState;
  dispose(): void;
}

/**
 * What backward makes again instead of keeping it, for memory. The gradients have the same bits.
 *
 * - `none`, or false: nothing.
 * - `cheap`: what takes little arithmetic: a Mamba layer's norm, convolution and step sizes, two fifths of what it keeps. Models with
 *   nothing of the kind keep everything.
 * - `layer`, or true: everything but what enters a layer: a third more arithmetic, for the memory of one layer instead of all.
 */
export type Recompute = "none" | "cheap" | "layer" | boolean;

/** Options of {@link LanguageModel.forward}. */
export interface ForwardOptions<State extends RecurrentState> {
  /** What earlier tokens left; default: nothing seen yet. Stays valid unless consumed. */
  readonly state?: State;
  /** Reuse the state's buffers and dispose its handle. */
  readonly consume?: boolean;
  /** int32 [batch length], non-decreasing; -1 is padding and changes nothing. */
  readonly segmentIds?: Tensor;
  /** What is made again in backward while gradients are recorded; default `none`. */
  readonly recompute?: Recompute;
  /** Logits of all positions, of the last one, or none; default `last`. */
  readonly logits?: "all" | "last" | "none";
}

/** What every causal language model offers, whatever it is made of. */
export interface LanguageModel<State extends RecurrentState = RecurrentState> {
  readonly parameters: Parameters;
  readonly vocabSize: number;
  /** Whether a step on one token with a consumed state changes the state's own memory, so that its commands can be replayed. */
  readonly stepsInPlace?: boolean;
  /**
   * @param ids - int32 [batch length]
   * @returns logits [batch length vocab], or [batch 1 vocab] for the last position; the state after the last id
   */
  forward(ids: Tensor, options?: ForwardOptions<State>): { logits: Tensor | undefined; state: State };
  /** Losses [batch length] of predicting `targets`, without holding all logits. */
  losses(
    ids: Tensor,
    targets: Tensor,
    options?: ForwardOptions<State>,
  ): { losses: Tensor; valid: Tensor; state: State };
  /** A state that has seen nothing. */
  initialState(batch: number): State;
  /** Shapes of a state's tensors in order, for one row and before any token. */
  stateShapes(): readonly { readonly name: string; readonly shape: readonly number[] }[];
  /** A state from tensors in the order of {@link stateShapes}; it takes them over. */
  stateFrom(tensors: readonly Tensor[], position: number): State;
  dispose(): void;
}
