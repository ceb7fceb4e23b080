import type { Backend } from "./device.ts";
import { invariant } from "./errors.ts";
import { unwatch, watch } from "./leaks.ts";

/**
 * Device memory that one or more tensors look into.
 *
 * Reference counted: views, saved tensors and handles each hold one reference, and the memory is returned
 * to the backend when the last one lets go.
 */
export class Storage {
  readonly backend: Backend;
  readonly memory: unknown;
  readonly byteLength: number;
  /** Counts changes in place, so that backward can tell that a saved value is no longer the one it saw. */
  version = 0;
  #references = 1;

  constructor(backend: Backend, byteLength: number) {
    this.backend = backend;
    this.byteLength = byteLength;
    this.memory = backend.allocate(byteLength);
    watch(this);
  }

  retain(): this {
    invariant(this.#references > 0, "storage was retained after its last release");
    this.#references++;
    return this;
  }

  release(): void {
    invariant(this.#references > 0, "storage was released twice");
    if (--this.#references > 0) return;
    unwatch(this);
    this.backend.free(this.memory);
  }
}
