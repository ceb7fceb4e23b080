import { OutOfMemoryError } from "../../tensor/errors.ts";
import { BARRIER_SPIN, control, FIRST_SLOT, HEAP_START, IDLE_SPIN, PAGE_BYTES } from "./control.ts";
import type { NumberedFailure } from "./executor.ts";
import { kernelNames } from "./generated/kernels.ts";

const MAXIMUM_PAGES = 65_536;
const SMALLEST_MAXIMUM_PAGES = 1024;
const INITIAL_PAGES = 256;

/** Sizes of a memory, in pages of 64 KiB. */
export interface MemoryLimits {
  readonly initial: number;
  readonly maximum: number;
  readonly shared: boolean;
}

/**
 * Reserves wasm memory. Growing is free until it is used, so the whole 4 GiB are asked for; where an engine refuses
 * to reserve as much, half of it, and so on.
 */
export function reserveMemory(shared: boolean): { memory: WebAssembly.Memory; limits: MemoryLimits } {
  for (let maximum = MAXIMUM_PAGES; ; maximum /= 2) {
    const limits = { initial: INITIAL_PAGES, maximum, shared };
    try {
      return { memory: new WebAssembly.Memory(limits), limits };
    } catch (cause) {
      if (maximum > SMALLEST_MAXIMUM_PAGES) continue;
      throw new OutOfMemoryError(
        `wasm: memory of ${maximum} pages must be reservable; the engine says ${String(cause)}; close other pages and try again`,
        { pages: maximum },
        { cause },
      );
    }
  }
}

/** The error of a memory that is full. */
export function outOfMemory(end: number, limit: number): OutOfMemoryError {
  return new OutOfMemoryError(
    `wasm: memory must hold ${end} bytes; the limit is ${limit}; dispose tensors, use scope(), a smaller batch or a smaller model`,
    { bytes: end, limit },
  );
}

/** Wasm memory that this thread sees, shared with workers or not. */
export class WasmMemory {
  readonly memory: WebAssembly.Memory;
  readonly limits: MemoryLimits;
  #bytes: Uint8Array;
  readonly words: Int32Array;

  constructor(shared: boolean) {
    const { memory, limits } = reserveMemory(shared);
    this.memory = memory;
    this.limits = limits;
    this.#bytes = new Uint8Array(memory.buffer);
    this.words = new Int32Array(memory.buffer, 0, HEAP_START / 4);
    this.words[control.barrierSpin / 4] = BARRIER_SPIN;
    this.words[control.idleSpin / 4] = IDLE_SPIN;
  }

  get bytes(): Uint8Array {
    if (this.#bytes.buffer !== this.memory.buffer) this.#bytes = new Uint8Array(this.memory.buffer);
    return this.#bytes;
  }

  /** The control block; growing unshared memory detaches older views. */
  #fresh(): Int32Array {
    return this.limits.shared ? this.words : new Int32Array(this.memory.buffer, 0, HEAP_START / 4);
  }

  grow(end: number): void {
    const missing = end - this.memory.buffer.byteLength;
    if (missing <= 0) return;
    const limit = this.limits.maximum * PAGE_BYTES;
    if (end > limit) throw outOfMemory(end, limit);
    // in steps, so that many small tensors do not grow it one by one
    const step = Math.max(missing, Math.min(64 * 2 ** 20, limit - this.memory.buffer.byteLength));
    try {
      this.memory.grow(Math.ceil(step / PAGE_BYTES));
    } catch {
      throw outOfMemory(end, this.memory.buffer.byteLength);
    }
  }

  takeFailure(): NumberedFailure | undefined {
    const words = this.#fresh();
    const code = words[control.errorCode / 4]!;
    if (code === 0) return undefined;
    words[control.errorCode / 4] = 0;
    return {
      code,
      label: words[control.errorLabel / 4]!,
      actual: words[control.errorActual / 4]!,
      expected: words[control.errorExpected / 4]!,
    };
  }
}

/** Instantiates the kernels on this thread and returns the walker of command lists. */
export function instantiate(
  modules: readonly WebAssembly.Module[],
  memory: WebAssembly.Memory,
): (list: number, thread: number, threads: number) => void {
  const table = new WebAssembly.Table({ initial: FIRST_SLOT + kernelNames.length, element: "anyfunc" });
  const exports: Record<string, unknown> = {};
  for (const module of modules) {
    Object.assign(exports, new WebAssembly.Instance(module, { env: { memory, table } }).exports);
  }
  kernelNames.forEach((name, i) => {
    table.set(FIRST_SLOT + i, exports[name]);
  });
  return exports["run"] as (list: number, thread: number, threads: number) => void;
}
