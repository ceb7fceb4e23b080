import type { Backend, DeviceLimits, KernelCall, MatmulPrecision, MemoryUse, Recorder } from "../../tensor/device.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import { DeviceError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { storageBytes } from "../../tensor/weight-formats.ts";
import { CommandList } from "./command-list.ts";
import { HEAP_START } from "./control.ts";
import type { Executor } from "./executor.ts";
import { failureError } from "./failures.ts";
import { type Block, Heap } from "./heap.ts";
import type { Access, Range, WasmKernel, WasmKernelContext } from "./kernel.ts";
import { kernelSlots } from "./module.ts";

/** A list that grows past this many words is handed over, so that workers start before everything is encoded. */
const FLUSH_WORDS = 262_144;

/** Writes of this many bytes hand over the list first, so that staging them is the exception. */
const FLUSH_BYTES = 65_536;

/**
 * The WebAssembly backend: ops append commands to a list, an {@link Executor} runs the list.
 *
 * Nothing is computed until `flush()` or `read()`; errors of kernels reject the next `read()`.
 */
export class WasmBackend implements Backend {
  readonly name = "wasm" as const;
  readonly description = "WebAssembly";
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
  readonly kernels: Readonly<Record<string, unknown>>;
  readonly lost: Promise<DeviceError>;
  recorder: Recorder | undefined = undefined;
  matmulPrecision: MatmulPrecision = "float32";
  readonly matmulPrecisions: readonly MatmulPrecision[] = ["float32"];
  readonly #executor: Executor;
  readonly #heap: Heap;
  readonly #list = new CommandList(kernelSlots);
  readonly #context: EncodingContext;
  /** Number of the list being encoded. */
  #number = 1;
  #disposed = false;

  constructor(
    executor: Executor,
    options: { kernels: Readonly<Record<string, unknown>>; features: ReadonlySet<string>; limit: number },
  ) {
    this.#executor = executor;
    this.kernels = options.kernels;
    this.features = options.features;
    this.limits = { maxBufferBytes: options.limit };
    this.#heap = new Heap(HEAP_START, (end) => executor.grow(end));
    this.#context = new EncodingContext(executor.threads, this.#list, this.#heap);
    this.lost = executor.lost.then(
      (reason) => new DeviceError(`wasm: the device was lost; ${reason}; open another`, { reason }),
    );
  }

  get threads(): number {
    return this.#executor.threads;
  }

  memory(): MemoryUse {
    const { used, peak, blocks } = this.#heap;
    return { used, peak, buffers: blocks, limit: this.limits.maxBufferBytes };
  }

  allocate(byteLength: number): Block {
    this.#assertOpen();
    return this.#heap.allocate(byteLength);
  }

  free(memory: unknown): void {
    this.#heap.free(memory as Block, this.#list.count > 0 ? this.#number : this.#number - 1);
  }

  write(memory: unknown, byteOffset: number, bytes: Uint8Array): void {
    this.#assertOpen();
    const address = (memory as Block).address + byteOffset;
    if (bytes.length >= FLUSH_BYTES) this.flush();
    if (this.#idle()) {
      this.#executor.write(address, bytes);
      return;
    }
    // earlier commands may still read or write these bytes: stage them and copy in list order
    const staging = this.#allocateForHost(bytes.length);
    this.#executor.write(staging.address, bytes);
    this.#list.add("copyBytes", "write", [address, staging.address, bytes.length], {
      reads: [[staging.address, bytes.length]],
      writes: [[address, bytes.length]],
    });
    this.#heap.free(staging, this.#number);
  }

  clear(memory: unknown, byteOffset: number, byteLength: number): void {
    this.#assertOpen();
    const range: Range = [(memory as Block).address + byteOffset, byteLength];
    if (byteLength > 0) this.#list.add("clearBytes", "zeros", [...range], { reads: [], writes: [range] });
  }

  async read(memory: unknown, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.#assertOpen();
    this.flush();
    const bytes = await this.#executor.read((memory as Block).address + byteOffset, byteLength);
    const failure = await this.#executor.takeFailure();
    if (failure) throw failureError({ ...failure, label: this.#list.label(failure.label) });
    return bytes;
  }

  launch(kernel: unknown, call: KernelCall): void {
    this.#assertOpen();
    this.#context.encode(kernel as WasmKernel, call, this.#number);
    if (this.#list.length > FLUSH_WORDS) this.flush();
  }

  flush(): void {
    this.#assertOpen();
    if (this.#list.count === 0) return;
    const words = this.#list.take();
    const block = this.#allocateForHost(words.byteLength);
    this.#executor.write(block.address, new Uint8Array(words.buffer));
    this.#executor.submit(this.#number, block.address);
    this.#heap.free(block, this.#number);
    this.#number++;
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#executor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Memory that no command touches which is still to come or under way. */
  #allocateForHost(byteLength: number): Block {
    return this.#heap.allocate(byteLength, Math.min(this.#executor.doneList, this.#number - 1));
  }

  /** Whether every command so far is done. */
  #idle(): boolean {
    return this.#list.count === 0 && this.#executor.doneList >= this.#number - 1;
  }

  #assertOpen(): void {
    if (this.#disposed) throw new DeviceError("device wasm: must be open; it was disposed; open another", {});
  }
}

/** What one op's encoder sees; scratch is given back when it returns. */
class EncodingContext implements WasmKernelContext {
  readonly threads: number;
  readonly #list: CommandList;
  readonly #heap: Heap;
  readonly #scratch: Block[] = [];
  #label = "";

  constructor(threads: number, list: CommandList, heap: Heap) {
    this.threads = threads;
    this.#list = list;
    this.#heap = heap;
  }

  encode(kernel: WasmKernel, call: KernelCall, listNumber: number): void {
    this.#label = call.op;
    try {
      kernel(this, call);
    } finally {
      for (const block of this.#scratch) this.#heap.free(block, listNumber);
      this.#scratch.length = 0;
    }
  }

  scratch(byteLength: number): number {
    const block = this.#heap.allocate(byteLength);
    this.#scratch.push(block);
    return block.address;
  }

  command(kernel: string, words: readonly number[], access: Access): void {
    this.#list.add(kernel, this.#label, words, access);
  }

  address(tensor: Tensor): number {
    return (tensor.storage.memory as Block).address + tensor.offset * bytesPerElement(tensor.dtype);
  }

  range(tensor: Tensor): Range {
    const { dtype, shape, layout } = tensor;
    if (layout !== "strided") return [this.address(tensor), storageBytes(dtype, shape, layout)];
    const width = bytesPerElement(dtype);
    const last = tensor.shape.reduce((sum, size, i) => sum + Math.max(size - 1, 0) * tensor.strides[i]!, 0);
    return [this.address(tensor), (last + 1) * width];
  }
}
