import { DeviceError } from "../../tensor/errors.ts";
import type { Executor, NumberedFailure } from "./executor.ts";
import { instantiate, WasmMemory } from "./wasm-memory.ts";
import { WorkerPool, type WorkerSetup } from "./worker-pool.ts";

/**
 * Runs lists on the calling thread, together with a pool of workers where there is shared memory.
 *
 * Nothing waits for a message, so a decoded token costs no trip through the event loop; the caller blocks meanwhile,
 * which Node allows and a browser's main thread does not.
 */
export class CallerExecutor implements Executor {
  readonly kind = "caller" as const;
  readonly threads: number;
  doneList = 0;
  readonly lost: Promise<string>;
  readonly #memory: WasmMemory;
  readonly #pool: WorkerPool | undefined;
  readonly #run: (list: number, thread: number, threads: number) => void;
  #reportLost: (reason: string) => void = () => {};
  #reason: string | undefined;

  private constructor(threads: number, memory: WasmMemory, modules: readonly WebAssembly.Module[]) {
    this.threads = threads;
    this.#memory = memory;
    this.#pool = threads > 1 ? new WorkerPool(memory) : undefined;
    this.#run = instantiate(modules, memory.memory);
    this.lost = new Promise((resolve) => {
      this.#reportLost = resolve;
    });
  }

  static async open(
    threads: number,
    shared: boolean,
    setup: Pick<WorkerSetup, "modules" | "workerUrl">,
  ): Promise<CallerExecutor> {
    const executor = new CallerExecutor(threads, new WasmMemory(shared), setup.modules);
    const onFailure = (reason: string): void => executor.#fail(reason);
    await executor.#pool?.start({ ...setup, onMessage: () => {}, onFailure }, 1, threads);
    return executor;
  }

  grow(end: number): void {
    this.#memory.grow(end);
  }

  write(address: number, bytes: Uint8Array): void {
    this.#memory.bytes.set(bytes, address);
  }

  submit(number: number, address: number): void {
    this.#assertAlive();
    this.#pool?.wake(number, address);
    try {
      this.#run(address, 0, this.threads);
    } catch (error) {
      this.#fail(String((error as Error).message));
      this.#assertAlive();
    }
    this.doneList = number;
  }

  async read(address: number, byteLength: number): Promise<Uint8Array> {
    this.#assertAlive();
    return this.#memory.bytes.slice(address, address + byteLength);
  }

  async takeFailure(): Promise<NumberedFailure | undefined> {
    return this.#memory.takeFailure();
  }

  dispose(): void {
    this.#pool?.dispose();
  }

  #fail(reason: string): void {
    this.#reason ??= reason;
    this.#reportLost(this.#reason);
  }

  #assertAlive(): void {
    if (this.#reason === undefined) return;
    throw new DeviceError(`wasm: the device was lost; ${this.#reason}; open another`, { reason: this.#reason });
  }
}
