import type { Access, Range, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/**
 * A context for loops: after {@link rewind} it hands out the same scratch again, in the same order, so that a loop
 * takes no more than its largest step. Commands that share scratch are kept apart by barriers, as all are.
 */
export class ScratchLoop implements WasmKernelContext {
  readonly #context: WasmKernelContext;
  readonly #blocks: { address: number; byteLength: number }[] = [];
  #next = 0;

  constructor(context: WasmKernelContext) {
    this.#context = context;
  }

  /** Begins the next step. */
  rewind(): void {
    this.#next = 0;
  }

  get threads(): number {
    return this.#context.threads;
  }

  scratch(byteLength: number): number {
    const at = this.#next++;
    const known = this.#blocks[at];
    if (known && known.byteLength >= byteLength) return known.address;
    const address = this.#context.scratch(byteLength);
    this.#blocks[at] = { address, byteLength };
    return address;
  }

  command(kernel: string, words: readonly number[], access: Access): void {
    this.#context.command(kernel, words, access);
  }

  address(tensor: Tensor): number {
    return this.#context.address(tensor);
  }

  range(tensor: Tensor): Range {
    return this.#context.range(tensor);
  }
}
