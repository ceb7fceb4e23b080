import type { WorkerHandle } from "#platform";
import { DeviceError } from "../../tensor/errors.ts";
import { control, PAGE_BYTES } from "./control.ts";
import type { Executor, NumberedFailure } from "./executor.ts";
import { type MemoryLimits, outOfMemory, reserveMemory } from "./wasm-memory.ts";
import { launchWorker, type WorkerMessage, type WorkerSetup } from "./worker-pool.ts";

/**
 * Runs lists on one worker that owns the memory; everything goes by message, in order.
 *
 * For pages without cross-origin isolation: slower than shared memory, but the page stays responsive.
 */
export class MessageExecutor implements Executor {
  readonly kind = "worker" as const;
  readonly threads = 1;
  readonly lost: Promise<string>;
  /** Messages are answered in order, so that whatever is written next comes after every list submitted. */
  doneList = Number.POSITIVE_INFINITY;
  readonly #limits: MemoryLimits;
  #worker: WorkerHandle | undefined;
  #end: number;
  #id = 0;
  readonly #waiting = new Map<number, { resolve: (bytes: Uint8Array) => void; reject: (error: Error) => void }>();
  #reportLost: (reason: string) => void = () => {};
  #reason: string | undefined;

  private constructor() {
    // the size that this engine lets a page reserve; the worker makes its own
    this.#limits = reserveMemory(false).limits;
    this.#end = this.#limits.initial * PAGE_BYTES;
    this.lost = new Promise((resolve) => {
      this.#reportLost = resolve;
    });
  }

  static async open(setup: Pick<WorkerSetup, "modules" | "workerUrl">): Promise<MessageExecutor> {
    const executor = new MessageExecutor();
    const onMessage = ({ id, bytes }: WorkerMessage): void => executor.#answered(id!, bytes!);
    const onFailure = (reason: string): void => executor.#fail(reason);
    const { initial, maximum } = executor.#limits;
    executor.#worker = await launchWorker({ ...setup, onMessage, onFailure }, { memoryLimits: { initial, maximum } });
    return executor;
  }

  grow(end: number): void {
    const limit = this.#limits.maximum * PAGE_BYTES;
    if (end <= this.#end) return;
    if (end > limit) throw outOfMemory(end, limit);
    const pages = Math.ceil((end - this.#end) / PAGE_BYTES);
    this.#post({ grow: pages });
    this.#end += pages * PAGE_BYTES;
  }

  write(address: number, bytes: Uint8Array): void {
    this.#post({ write: bytes.slice(), address });
  }

  submit(_number: number, address: number): void {
    this.#post({ run: address });
  }

  read(address: number, byteLength: number): Promise<Uint8Array> {
    if (this.#reason !== undefined) return Promise.reject(this.#error());
    this.#worker!.keepAlive(true);
    return new Promise((resolve, reject) => {
      const id = this.#id++;
      this.#waiting.set(id, { resolve, reject });
      this.#post({ read: byteLength, address, id });
    });
  }

  async takeFailure(): Promise<NumberedFailure | undefined> {
    const bytes = await this.read(control.errorCode, 16);
    const [code, label, actual, expected] = new Int32Array(bytes.buffer, bytes.byteOffset, 4) as unknown as number[];
    if (code === 0) return undefined;
    this.write(control.errorCode, new Uint8Array(4));
    return { code: code!, label: label!, actual: actual!, expected: expected! };
  }

  dispose(): void {
    this.#worker?.terminate();
    this.#fail("it was disposed");
  }

  #post(message: unknown): void {
    if (this.#reason !== undefined) throw this.#error();
    this.#worker!.post(message);
  }

  #answered(id: number, bytes: Uint8Array): void {
    this.#waiting.get(id)?.resolve(bytes);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker!.keepAlive(false);
  }

  #fail(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const { reject } of this.#waiting.values()) reject(this.#error());
    this.#waiting.clear();
    this.#reportLost(reason);
  }

  #error(): DeviceError {
    return new DeviceError(`wasm: the device was lost; ${this.#reason}; open another`, { reason: this.#reason });
  }
}
