import type { MambaMixerState } from "../layers/mamba-mixer.ts";
import { copy } from "../ops/movement/index.ts";
import { TensorState } from "./tensor-state.ts";

/**
 * What a Mamba language model carries between tokens: for every layer the convolution's window and the
 * state of the recurrence. Its size does not depend on how many tokens it has seen.
 */
export class MambaState extends TensorState {
  /** conv [batch dConv-1 dInner] and ssm [batch dInner dState], layer by layer. */
  readonly layers: readonly MambaMixerState[];

  constructor(layers: readonly MambaMixerState[], position: number) {
    super(
      layers.flatMap(({ conv, ssm }) => [conv, ssm]),
      position,
    );
    this.layers = layers;
  }

  clone(): MambaState {
    this.tensors();
    return new MambaState(
      this.layers.map(({ conv, ssm }) => ({ conv: copy(conv), ssm: copy(ssm) })),
      this.position,
    );
  }
}
