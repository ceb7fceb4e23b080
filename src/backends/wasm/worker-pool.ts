import { startWorker, type WorkerHandle } from "#platform";
import { control, FIRST_SLOT } from "./control.ts";
import { kernelNames, workerSource } from "./generated/kernels.ts";
import type { WasmMemory } from "./wasm-memory.ts";

/** What a worker says. */
export interface WorkerMessage {
  readonly ready?: boolean;
  readonly done?: number;
  readonly failed?: string;
  readonly bytes?: Uint8Array;
  readonly id?: number;
}

/** How to start a worker, and what it computes with. */
export interface WorkerSetup {
  readonly modules: readonly WebAssembly.Module[];
  readonly workerUrl?: string | URL;
  readonly onMessage: (message: WorkerMessage) => void;
  readonly onFailure: (reason: string) => void;
}

/** Starts one worker and waits until its kernels are instantiated. */
export function launchWorker(setup: WorkerSetup, first: Record<string, unknown>): Promise<WorkerHandle> {
  return new Promise((resolve, reject) => {
    let ready = false;
    const fail = (reason: string): void => {
      if (ready) setup.onFailure(reason);
      else reject(new Error(reason));
    };
    const worker = startWorker(workerSource, setup.workerUrl, {
      message: (data) => {
        const message = data as WorkerMessage;
        if (message.failed !== undefined) fail(message.failed);
        else if (message.ready) {
          ready = true;
          worker.keepAlive(false);
          resolve(worker);
        } else setup.onMessage(message);
      },
      error: fail,
    });
    worker.post({ modules: setup.modules, names: kernelNames, firstSlot: FIRST_SLOT, control, ...first });
  });
}

/** Workers that walk lists in shared memory. */
export class WorkerPool {
  readonly #memory: WasmMemory;
  readonly #workers: WorkerHandle[] = [];

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** Starts workers for threads `from` to `threads - 1`. */
  async start(setup: WorkerSetup, from: number, threads: number): Promise<void> {
    const started = Array.from({ length: threads - from }, (_, i) =>
      launchWorker(setup, { memory: this.#memory.memory, thread: from + i, threads }),
    );
    const settled = await Promise.allSettled(started);
    for (const result of settled) if (result.status === "fulfilled") this.#workers.push(result.value);
    const failed = settled.find((result) => result.status === "rejected");
    if (!failed) return;
    this.dispose();
    throw failed.reason;
  }

  /** Lets the workers run the list at an address. */
  wake(number: number, address: number): void {
    const { words } = this.#memory;
    Atomics.store(words, control.list / 4, address);
    Atomics.store(words, control.sequence / 4, number);
    Atomics.notify(words, control.sequence / 4);
  }

  /** Whether pending work keeps a Node process alive. */
  keepAlive(busy: boolean): void {
    for (const worker of this.#workers) worker.keepAlive(busy);
  }

  dispose(): void {
    const { words } = this.#memory;
    Atomics.store(words, control.abort / 4, 1);
    this.wake(Atomics.load(words, control.sequence / 4) + 1, 0);
    for (const worker of this.#workers) worker.terminate();
    this.#workers.length = 0;
  }
}
