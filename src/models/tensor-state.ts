import { bytesPerElement } from "../tensor/dtype.ts";
import { DisposedError, ShapeError } from "../tensor/errors.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { RecurrentState } from "./language-model.ts";

/** What states of all models share: tensors in a fixed order, owned until the state is disposed. */
export abstract class TensorState implements RecurrentState {
  /** Tokens seen by each row, padding not counted where the caller knows better. */
  readonly position: number;
  readonly #tensors: readonly Tensor[];
  #disposed = false;

  /** @param tensors - all of them, in order; their first axis is the batch */
  protected constructor(tensors: readonly Tensor[], position: number) {
    this.#tensors = tensors;
    this.position = position;
  }

  /** An independent copy: advancing one leaves the other as it is. */
  abstract clone(): TensorState;

  /** Rows that are advanced together. */
  get batch(): number {
    return this.#tensors[0]!.shape[0]!;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** Bytes of all tensors. */
  get byteLength(): number {
    return this.tensors().reduce((sum, tensor) => sum + tensor.size * bytesPerElement(tensor.dtype), 0);
  }

  /** All tensors in order. */
  tensors(): Tensor[] {
    if (!this.#disposed) return [...this.#tensors];
    throw new DisposedError(
      "state: must not be used after dispose() or after a call that consumed it; it was; clone() it first to keep it",
      {},
    );
  }

  /** Frees the tensors. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** @throws ShapeError if `ids` is not [batch length] with length at least 1, or the state has another batch */
export function checkIdsAndState(where: string, ids: Tensor, state: RecurrentState | undefined): void {
  if (ids.shape.length !== 2 || ids.shape[1] === 0) {
    throw new ShapeError(
      `${where}: ids must have shape [batch length] with length at least 1; got ${formatShape(ids.shape)}; pass at least one id`,
      { actual: ids.shape },
    );
  }
  if (!state || state.batch === ids.shape[0]) return;
  throw new ShapeError(
    `${where}: the state must have the batch of ids, ${ids.shape[0]}; it has ${state.batch}; pass a state of as many rows`,
    { expected: ids.shape[0], actual: state.batch },
  );
}
