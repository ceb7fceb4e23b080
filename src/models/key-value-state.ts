import type { KeyValueCache } from "../layers/causal-attention.ts";
import { copy } from "../ops/movement/index.ts";
import { bytesPerElement } from "../tensor/dtype.ts";
import { DisposedError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { RecurrentState } from "./language-model.ts";

/** What a transformer carries between tokens: keys and values of all of them, so that it grows with every token. */
export class KeyValueState implements RecurrentState {
  /** Layer by layer, each [batch position heads width]. */
  readonly layers: readonly KeyValueCache[];
  readonly position: number;
  #disposed = false;

  constructor(layers: readonly KeyValueCache[], position: number) {
    this.layers = layers;
    this.position = position;
  }

  get batch(): number {
    return this.layers[0]!.k.shape[0]!;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  get byteLength(): number {
    return this.tensors().reduce((sum, tensor) => sum + tensor.size * bytesPerElement(tensor.dtype), 0);
  }

  /** All tensors, layer by layer, keys before values. */
  tensors(): Tensor[] {
    if (!this.#disposed) return this.layers.flatMap(({ k, v }) => [k, v]);
    throw new DisposedError(
      "state: must not be used after dispose() or after a call that consumed it; it was; clone() it first to keep it",
      {},
    );
  }

  clone(): KeyValueState {
    this.tensors();
    return new KeyValueState(
      this.layers.map(({ k, v }) => ({ k: copy(k), v: copy(v) })),
      this.position,
    );
  }

  dispose(): void {
    if (this.#disposed) return;
    for (const tensor of this.tensors()) tensor.dispose();
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
