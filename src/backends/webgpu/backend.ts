import type {
  Backend,
  DeviceLimits,
  KernelCall,
  KernelTime,
  MatmulPrecision,
  MemoryUse,
  Recorder,
} from "../../tensor/device.ts";
import { DeviceError, MambaError, OutOfMemoryError } from "../../tensor/errors.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { Batch } from "./batch.ts";
import { BufferPool, type GpuMemory } from "./buffer-pool.ts";
import { FAILURE_BYTES, Failures } from "./failures.ts";
import type { Bound, WebgpuKernel, WebgpuKernelContext } from "./kernel.ts";
import { LateErrors } from "./late-errors.ts";
import { Pipelines } from "./pipelines.ts";
import { Profiler } from "./profiler.ts";
import type { Program } from "./program.ts";

/** MAP_READ and COPY_DST. */
const STAGING_USAGE = 0x1 | 0x8;
/** How long a read that failed waits for the device to say that it is lost. */
const LOSS_MILLISECONDS = 200;

/**
 * The WebGPU backend: ops append dispatches to a batch, which goes to the device when it is full, flushed, or read from.
 *
 * Errors of the device come late: they reject the next `read()`, with the op's name as the device's labels tell it.
 */
export class WebgpuBackend implements Backend {
  readonly name = "webgpu" as const;
  readonly description: string;
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
  readonly threads = 1;
  readonly lost: Promise<DeviceError>;
  readonly kernels: Readonly<Record<string, unknown>>;
  recorder: Recorder | undefined = undefined;
  readonly #device: GPUDevice;
  readonly #pool: BufferPool;
  readonly #batch: Batch;
  readonly #context: EncodingContext;
  readonly #errors: LateErrors;
  #gone: DeviceError | undefined;
  #disposed = false;

  /** @param info - of the adapter that the device is from */
  constructor(device: GPUDevice, kernels: Readonly<Record<string, unknown>>, info: GPUAdapterInfo) {
    this.#device = device;
    this.kernels = kernels;
    const { vendor, device: card, description } = info;
    this.description = description || card || vendor || "unknown adapter";
    this.features = new Set(device.features);
    this.limits = { maxBufferBytes: Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize) };
    this.#errors = new LateErrors(device);
    this.#pool = new BufferPool(device, this.#errors);
    const pipelines = new Pipelines(device, this.#errors);
    this.#errors.used = () => this.#pool.facts.used;
    this.#errors.causeOf = (message) => pipelines.causeOf(message);
    this.#batch = new Batch(device, pipelines);
    this.#context = new EncodingContext(device, this.#pool, this.#batch, info);
    this.lost = device.lost.then(({ reason, message }) => {
      this.#gone = new DeviceError(
        `webgpu: the device was lost (${reason}); ${message || "the driver gave no reason"}; open another and load the model again`,
        { reason, message },
      );
      return this.#gone;
    });
  }

  async profile(work: () => unknown): Promise<KernelTime[]> {
    this.#assertOpen();
    if (!this.features.has("timestamp-query")) {
      throw new DeviceError("profile: the adapter must have timestamp-query; it has not; measure with a clock", {});
    }
    this.#batch.submit();
    const profiler = new Profiler(this.#device);
    this.#batch.profiler = profiler;
    try {
      await work();
    } finally {
      this.#batch.profiler = undefined;
      this.#batch.submit();
    }
    return profiler.read();
  }

  get matmulPrecision(): MatmulPrecision {
    return this.#context.precision;
  }

  set matmulPrecision(precision: MatmulPrecision) {
    this.#context.precision = precision;
  }

  memory(): MemoryUse {
    const { used, peak, live } = this.#pool.facts;
    return { used, peak, buffers: live, limit: Number.MAX_SAFE_INTEGER };
  }

  allocate(byteLength: number): GpuMemory {
    this.#assertOpen();
    return this.#pool.allocate(byteLength);
  }

  free(memory: unknown): void {
    this.#pool.free(memory as GpuMemory);
  }

  write(memory: unknown, byteOffset: number, bytes: Uint8Array): void {
    this.#assertOpen();
    if (bytes.length === 0) return;
    const { buffer, lastBatch } = memory as GpuMemory;
    // writes happen at once, commands when they are submitted
    if (lastBatch === this.#batch.number) this.#batch.submit();
    const whole = bytes.length & ~3;
    if (whole > 0) this.#device.queue.writeBuffer(buffer, byteOffset, bytes as Uint8Array<ArrayBuffer>, 0, whole);
    if (whole === bytes.length) return;
    // the device writes multiples of 4 bytes; buffers are padded to that
    const rest = new Uint8Array(4);
    rest.set(bytes.subarray(whole));
    this.#device.queue.writeBuffer(buffer, byteOffset + whole, rest);
  }

  clear(memory: unknown, byteOffset: number, byteLength: number): void {
    this.#assertOpen();
    if (byteLength > 0) this.#batch.clear(memory as GpuMemory, byteOffset, byteLength);
  }

  async read(memory: unknown, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.#assertOpen();
    const from = byteOffset & ~3;
    const size = Math.ceil((byteOffset + byteLength - from) / 4) * 4;
    const staging = this.#device.createBuffer({ size: size + FAILURE_BYTES, usage: STAGING_USAGE });
    if (size > 0) this.#batch.copy((memory as GpuMemory).buffer, from, staging, 0, size);
    const failure = this.#context.failureMemory;
    if (failure) this.#batch.copy(failure.buffer, 0, staging, size, FAILURE_BYTES);
    this.#batch.submit();
    try {
      await staging.mapAsync(1);
      await this.#throwLate();
      const mapped = staging.getMappedRange();
      if (failure) this.#throwNoted(failure, new Int32Array(mapped.slice(size)));
      const start = byteOffset - from;
      return new Uint8Array(mapped.slice(start, start + byteLength));
    } catch (cause) {
      if (cause instanceof MambaError) throw cause;
      await this.#throwLate();
      // a lost device says so soon after it has refused to map
      const pause = new Promise<undefined>((resolve) => setTimeout(resolve, LOSS_MILLISECONDS));
      throw (await Promise.race([this.lost, pause])) ?? this.#errors.refused(cause);
    } finally {
      staging.destroy();
    }
  }

  launch(kernel: unknown, call: KernelCall): void {
    this.#assertOpen();
    this.#context.encode(kernel as WebgpuKernel, call);
  }

  flush(): void {
    this.#assertOpen();
    this.#batch.submit();
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#device.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #throwNoted(failure: GpuMemory, words: Int32Array): void {
    const error = this.#context.failures.errorOf(words);
    if (!error) return;
    this.#device.queue.writeBuffer(failure.buffer, 0, new Uint8Array(FAILURE_BYTES));
    throw error;
  }

  async #throwLate(): Promise<void> {
    const error = await this.#errors.take();
    if (!error) return;
    if (error instanceof OutOfMemoryError && !this.#gone) {
      // the next, smaller try should find what this one left
      this.#batch.submit();
      this.#batch.forget();
      this.#pool.trim();
    }
    throw error;
  }

  #assertOpen(): void {
    if (this.#gone && !this.#disposed) throw this.#gone;
    if (this.#disposed) throw new DeviceError("device webgpu: must be open; it was disposed; open another", {});
  }
}

function memoryOf(bound: Bound): GpuMemory {
  return bound instanceof Tensor ? (bound.storage.memory as GpuMemory) : bound;
}

function subgroupSizeOf(features: ReadonlySet<string>, info: GPUAdapterInfo): number {
  const { subgroupMinSize, subgroupMaxSize } = info;
  return features.has("subgroups") && subgroupMinSize === subgroupMaxSize ? (subgroupMaxSize ?? 0) : 0;
}

/** A size of matrices that an adapter multiplies; the feature is not in the standard yet. */
interface SubgroupMatrixConfig {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly componentType: string;
  readonly resultComponentType: string;
}

/** Bytes of workgroup memory that programs for matrix cores may take. */
const MATRIX_CORE_STORAGE = 32768;

function hasHalfMatrices(features: ReadonlySet<string>, info: GPUAdapterInfo): boolean {
  if (!features.has("chromium-experimental-subgroup-matrix") || !features.has("shader-f16")) return false;
  const { subgroupMatrixConfigs = [] } = info as { subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[] };
  return subgroupMatrixConfigs.some(
    ({ M, N, K, componentType, resultComponentType }) =>
      M === 16 && N === 16 && K === 16 && componentType === "f16" && resultComponentType === "f32",
  );
}

/** What one op's encoder sees; scratch is given back when it returns. */
class EncodingContext implements WebgpuKernelContext {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly subgroupSize: number;
  readonly hasMatrixCores: boolean;
  precision: MatmulPrecision = "float32";
  readonly #pool: BufferPool;
  readonly #batch: Batch;
  readonly #scratch: GpuMemory[] = [];
  readonly failures = new Failures();
  /** Where kernels note what is wrong; there once one may. */
  failureMemory: GpuMemory | undefined;
  readonly #device: GPUDevice;
  #op = "";

  constructor(device: GPUDevice, pool: BufferPool, batch: Batch, info: GPUAdapterInfo) {
    this.#device = device;
    this.features = new Set(device.features);
    this.subgroupSize = subgroupSizeOf(this.features, info);
    this.limits = device.limits;
    this.hasMatrixCores =
      this.subgroupSize === 32 &&
      this.limits.maxComputeWorkgroupStorageSize >= MATRIX_CORE_STORAGE &&
      hasHalfMatrices(this.features, info);
    this.#pool = pool;
    this.#batch = batch;
  }

  encode(kernel: WebgpuKernel, call: KernelCall): void {
    this.#op = call.op;
    try {
      kernel(this, call);
    } finally {
      for (const memory of this.#scratch) this.#pool.free(memory);
      this.#scratch.length = 0;
    }
  }

  scratch(byteLength: number): GpuMemory {
    const memory = this.#pool.allocate(byteLength, this.#op);
    this.#scratch.push(memory);
    return memory;
  }

  copy(from: Bound, fromOffset: number, to: Bound, toOffset: number, count: number): void {
    if (count === 0) return;
    const [source, target] = [memoryOf(from), memoryOf(to)];
    this.#batch.copy(source.buffer, 4 * fromOffset, target.buffer, 4 * toOffset, 4 * count);
    for (const memory of [source, target]) memory.lastBatch = this.#batch.number;
  }

  upload(data: Float32Array<ArrayBuffer>): GpuMemory {
    const memory = this.scratch(data.byteLength);
    if (memory.lastBatch === this.#batch.number) this.#batch.submit();
    this.#device.queue.writeBuffer(memory.buffer, 0, data);
    return memory;
  }

  failure(argument: string, expected: number): { memory: GpuMemory; code: number } {
    if (!this.failureMemory) {
      const buffer = this.#device.createBuffer({ label: "failure", size: FAILURE_BYTES, usage: 0x80 | 0x4 | 0x8 });
      this.failureMemory = { buffer, id: -1, lastBatch: 0 };
    }
    return { memory: this.failureMemory, code: this.failures.code(this.#op, argument, expected) };
  }

  dispatch(program: Program, bound: readonly Bound[], params: Readonly<Record<string, number>>, groups: number): void {
    this.#batch.dispatch(program, bound.map(memoryOf), params, groups, this.#op);
  }
}
