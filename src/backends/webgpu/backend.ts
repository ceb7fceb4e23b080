import type {
  Backend,
  DeviceLimits,
  KernelCall,
  KernelTime,
  MatmulPrecision,
  MemoryUse,
  Recorded,
  Recorder,
} from "../../tensor/device.ts";
import { DeviceError, OutOfMemoryError } from "../../tensor/errors.ts";
import { nameOf } from "./adapter.ts";
import { Batch } from "./batch.ts";
import { BufferPool, type GpuMemory } from "./buffer-pool.ts";
import { EncodingContext } from "./encoding-context.ts";
import { FAILURE_BYTES } from "./failures.ts";
import type { WebgpuKernel } from "./kernel.ts";
import { LateErrors } from "./late-errors.ts";
import { Pipelines } from "./pipelines.ts";
import { Profiler } from "./profiler.ts";
import { Recording } from "./recording.ts";

/** MAP_READ and COPY_DST. */
const STAGING_USAGE = 0x1 | 0x8;
/** How long a read that failed waits for the device to say that it is lost. */
const LOSS_MILLISECONDS = 200;

/** The same limits, with lower bindings where those are given. */
function limitedTo(limits: GPUSupportedLimits, bindingBytes: number | undefined): GPUSupportedLimits {
  if (bindingBytes === undefined) return limits;
  return new Proxy(limits, {
    get: (own, name) => (name === "maxStorageBufferBindingSize" ? bindingBytes : Reflect.get(own, name, own)),
  });
}

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
  readonly #pipelines: Pipelines;
  readonly #context: EncodingContext;
  readonly #errors: LateErrors;
  #gone: DeviceError | undefined;
  #disposed = false;
  /** Reads under way. */
  #reading = 0;

  /**
   * @param info - of the adapter that the device is from
   * @param bindingBytes - that a binding is taken to have at most; default: what the device says
   */
  constructor(
    device: GPUDevice,
    kernels: Readonly<Record<string, unknown>>,
    info: GPUAdapterInfo,
    bindingBytes?: number,
  ) {
    this.#device = device;
    this.kernels = kernels;
    this.description = nameOf(info);
    this.features = new Set(device.features);
    this.limits = { maxBufferBytes: device.limits.maxBufferSize };
    const limits = limitedTo(device.limits, bindingBytes);
    this.#errors = new LateErrors(device);
    this.#pool = new BufferPool(device, this.#errors, limits.maxStorageBufferBindingSize);
    const pipelines = new Pipelines(device, this.#errors);
    this.#pipelines = pipelines;
    this.#errors.used = () => this.#pool.facts.used;
    this.#errors.causeOf = (message) => pipelines.causeOf(message);
    this.#batch = new Batch(device, pipelines);
    this.#context = new EncodingContext(device, limits, this.#pool, this.#batch, info);
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

  record<Result>(work: () => Result): Recorded<Result> {
    this.#assertOpen();
    this.#context.assertNotRecording();
    const recording = new Recording(this.#device, this.#pool, this.#pipelines);
    this.#pool.beginRecording();
    this.#context.sink = recording;
    let result: Result;
    try {
      result = work();
    } finally {
      this.#context.sink = this.#batch;
      this.#pool.endRecording(() => recording.finish());
    }
    const replay = (): void => {
      this.#assertOpen();
      this.#batch.replay(recording);
    };
    const dispose = (): void => recording.dispose();
    return { result, replay, dispose, [Symbol.dispose]: dispose };
  }

  get matmulPrecision(): MatmulPrecision {
    return this.#context.precision;
  }

  get matmulPrecisions(): readonly MatmulPrecision[] {
    return this.#context.hasMatrixCores ? ["float32", "float16"] : ["float32"];
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
    this.#context.assertNotRecording();
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
    if (byteLength > 0) this.#context.sink.clear(memory as GpuMemory, byteOffset, byteLength);
  }

  async read(memory: unknown, byteOffset: number, byteLength: number): Promise<Uint8Array> {
    this.#assertOpen();
    this.#context.assertNotRecording();
    const from = byteOffset & ~3;
    const size = Math.ceil((byteOffset + byteLength - from) / 4) * 4;
    const staging = this.#device.createBuffer({ size: size + FAILURE_BYTES, usage: STAGING_USAGE });
    const copy = ({ buffer }: GpuMemory, fromOffset: number, toOffset: number, count: number): void =>
      this.#batch.copyBytes({ from: buffer, fromOffset, to: staging, toOffset, byteLength: count });
    if (size > 0) copy(memory as GpuMemory, from, 0, size);
    const failure = this.#context.failureMemory;
    if (failure) copy(failure, 0, size, FAILURE_BYTES);
    this.#batch.submit();
    try {
      await this.#map(staging);
      await this.#throwLate();
      const mapped = staging.getMappedRange();
      if (failure) this.#throwNoted(failure, new Int32Array(mapped.slice(size)));
      const start = byteOffset - from;
      return new Uint8Array(mapped.slice(start, start + byteLength));
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

  async #map(staging: GPUBuffer): Promise<void> {
    this.#reading++;
    try {
      await staging.mapAsync(1);
    } catch (cause) {
      await this.#throwLate();
      // a lost device says so soon after it has refused to map
      const pause = new Promise<undefined>((resolve) => setTimeout(resolve, LOSS_MILLISECONDS));
      throw (await Promise.race([this.lost, pause])) ?? this.#errors.refused(cause);
    } finally {
      this.#reading--;
    }
    if (this.#reading === 0) this.#batch.expectIdle();
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
