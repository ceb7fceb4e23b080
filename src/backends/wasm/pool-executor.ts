import { DeviceError } from "../../tensor/errors.ts";
import type { Executor, NumberedFailure } from "./executor.ts";
import { WasmMemory } from "./wasm-memory.ts";
import { type WorkerMessage, WorkerPool, type WorkerSetup } from "./worker-pool.ts";

/** Runs lists on workers only; the caller never blocks. Needs shared memory. */
export class PoolExecutor implements Executor {
  readonly kind = "pool" as const;
  readonly threads: number;
  doneList = 0;
  readonly lost: Promise<string>;
  readonly #memory = new WasmMemory(true);
  readonly #pool = new WorkerPool(this.#memory);
  readonly #queue: { number: number; address: number }[] = [];
  #submitted = 0;
  #running = false;
  #waiting: { number: number; resolve: () => void; reject: (error: Error) => void }[] = [];
  #reportLost: (reason: string) => void = () => {};
  #reason: string | undefined;

  private constructor(threads: number) {
    this.threads = threads;
    this.lost = new Promise((resolve) => {
      this.#reportLost = resolve;
    });
  }

  static async open(threads: number, setup: Pick<WorkerSetup, "modules" | "workerUrl">): Promise<PoolExecutor> {
    const executor = new PoolExecutor(threads);
    const onMessage = ({ done }: WorkerMessage): void => executor.#finished(done!);
    const onFailure = (reason: string): void => executor.#fail(reason);
    await executor.#pool.start({ ...setup, onMessage, onFailure }, 0, threads);
    return executor;
  }

  grow(end: number): void {
    this.#memory.grow(end);
  }

  write(address: number, bytes: Uint8Array): void {
    this.#memory.bytes.set(bytes, address);
  }

  submit(number: number, address: number): void {
    if (this.#reason !== undefined) throw lostError(this.#reason);
    this.#submitted = number;
    this.#queue.push({ number, address });
    this.#next();
  }

  async read(address: number, byteLength: number): Promise<Uint8Array> {
    await this.#settled();
    return this.#memory.bytes.slice(address, address + byteLength);
  }

  async takeFailure(): Promise<NumberedFailure | undefined> {
    return this.#memory.takeFailure();
  }

  dispose(): void {
    this.#pool.dispose();
    for (const { reject } of this.#waiting) reject(lostError("it was disposed"));
    this.#waiting = [];
  }

  #settled(): Promise<void> {
    if (this.#reason !== undefined) return Promise.reject(lostError(this.#reason));
    if (this.doneList >= this.#submitted) return Promise.resolve();
    this.#pool.keepAlive(true);
    return new Promise((resolve, reject) => this.#waiting.push({ number: this.#submitted, resolve, reject }));
  }

  #next(): void {
    const list = this.#running ? undefined : this.#queue.shift();
    if (!list) return;
    this.#running = true;
    this.#pool.wake(list.number, list.address);
  }

  #finished(number: number): void {
    this.doneList = number;
    this.#running = false;
    this.#next();
    const ready = this.#waiting.filter((waiting) => waiting.number <= number);
    this.#waiting = this.#waiting.filter((waiting) => waiting.number > number);
    for (const { resolve } of ready) resolve();
    if (this.#waiting.length === 0) this.#pool.keepAlive(false);
  }

  #fail(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const { reject } of this.#waiting) reject(lostError(reason));
    this.#waiting = [];
    this.#reportLost(reason);
  }
}

function lostError(reason: string): DeviceError {
  return new DeviceError(`wasm: the device was lost; ${reason}; open another`, { reason });
}
