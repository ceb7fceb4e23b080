import { MambaError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A value that backward will need. */
export interface SavedValue {
  /**
   * @param op - whose backward it is, for the error
   * @param name - of its argument
   * @throws MambaError with code `CHANGED_SINCE_SAVED`
   */
  get(op: string, name: string): Tensor;
  release(): void;
}

/** A value that is kept, and the version of its storage when it was. */
export class KeptValue implements SavedValue {
  readonly #tensor: Tensor;
  readonly #version: number;

  constructor(tensor: Tensor) {
    this.#tensor = tensor.alias();
    this.#version = tensor.storage.version;
  }

  get(op: string, name: string): Tensor {
    if (this.#tensor.storage.version === this.#version) return this.#tensor;
    throw new MambaError(
      `backward of ${op}: ${name} must be as it was in the forward pass; it was changed in place since; change it after valueAndGrad()`,
      "CHANGED_SINCE_SAVED",
      { op, argument: name },
    );
  }

  release(): void {
    this.#tensor.dispose();
  }
}

/**
 * How a value is made again from others that are kept. It is made when the first step of backward asks for it, and freed when the
 * last one that saved it is done.
 */
export class Recipe {
  readonly #inputs: readonly SavedValue[];
  readonly #make: (inputs: readonly Tensor[]) => Tensor;
  #made: Tensor | undefined;
  #users = 0;

  /** @param make - gives a tensor that no scope owns */
  constructor(inputs: readonly SavedValue[], make: (inputs: readonly Tensor[]) => Tensor) {
    this.#inputs = inputs;
    this.#make = make;
  }

  /** One step's hold on the value. */
  save(): SavedValue {
    this.#users++;
    let isHeld = true;
    return {
      get: (op, name) => {
        this.#made ??= this.#make(this.#inputs.map((input) => input.get(op, name)));
        return this.#made;
      },
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        if (--this.#users === 0) this.release();
      },
    };
  }

  /** Frees what is kept and made. Idempotent. */
  release(): void {
    this.#made?.dispose();
    this.#made = undefined;
    for (const input of this.#inputs) input.release();
  }
}
