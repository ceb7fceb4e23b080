import type { MambaMixerState } from "../layers/mamba-mixer.ts";
import { copy } from "../ops/movement/index.ts";
import { bytesPerElement } from "../tensor/dtype.ts";
import { DisposedError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * What a Mamba language model carries between tokens: for every layer the convolution's window and the
 * state of the recurrence. Its size does not depend on how many tokens it has seen.
 */
export class MambaState {
  /** conv [batch dConv-1 dInner] and ssm [batch dInner dState], layer by layer. */
  readonly layers: readonly MambaMixerState[];
  /** Tokens seen by each row, padding not counted where the caller knows better. */
  readonly position: number;
  #disposed = false;

  constructor(layers: readonly MambaMixerState[], position: number) {
    this.layers = layers;
    this.position = position;
  }

  /** Rows that are advanced together. */
  get batch(): number {
    return this.layers[0]!.ssm.shape[0]!;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Bytes of all tensors. */
  get byteLength(): number {
    return this.tensors().reduce((sum, tensor) => sum + tensor.size * bytesPerElement(tensor.dtype), 0);
  }

  /** All tensors, layer by layer, conv before ssm. */
  tensors(): Tensor[] {
    if (this.#disposed) {
      throw new DisposedError(
        "state: must not be used after dispose() or after a call that consumed it; it was; clone() it first to keep it",
        {},
      );
    }
    return this.layers.flatMap(({ conv, ssm }) => [conv, ssm]);
  }

  /** An independent copy: advancing one leaves the other as it is. */
  clone(): MambaState {
    this.tensors();
    return new MambaState(
      this.layers.map(({ conv, ssm }) => ({ conv: copy(conv), ssm: copy(ssm) })),
      this.position,
    );
  }

  /** Frees the tensors. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    for (const tensor of this.tensors()) tensor.dispose();
    this.#disposed = true;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
