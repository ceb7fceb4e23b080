import type { KeyValueCache } from "../layers/causal-attention.ts";
import { copy } from "../ops/movement/index.ts";
import { TensorState } from "./tensor-state.ts";

/** What a transformer carries between tokens: keys and values of all of them, so that it grows with every token. */
export class KeyValueState extends TensorState {
  /** Layer by layer, each [batch position heads width]. */
  readonly layers: readonly KeyValueCache[];

  constructor(layers: readonly KeyValueCache[], position: number) {
    super(
      layers.flatMap(({ k, v }) => [k, v]),
      position,
    );
    this.layers = layers;
  }

  clone(): KeyValueState {
    this.tensors();
    return new KeyValueState(
      this.layers.map(({ k, v }) => ({ k: copy(k), v: copy(v) })),
      this.position,
    );
  }
}
