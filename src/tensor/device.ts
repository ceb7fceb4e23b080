import type { DeviceError } from "./errors.ts";
import type { Tensor } from "./tensor.ts";

/** Names of the devices that tensors can live on. */
export type DeviceName = "reference" | "wasm" | "webgpu";

/** Bytes that a device holds. */
export interface MemoryUse {
  /** Bytes of live buffers. */
  used: number;
  /** Largest `used` so far. */
  peak: number;
  /** Number of live buffers. */
  buffers: number;
  /** Bytes that can be held at most. */
  limit: number;
}

/** Largest sizes that a device can work with, in bytes. */
export interface DeviceLimits {
  maxBufferBytes: number;
}

/** How long a device took over the dispatches of one program for one op. */
export interface KernelTime {
  readonly op: string;
  readonly program: string;
  /** Dispatches. */
  readonly count: number;
  readonly milliseconds: number;
}

/** What products of matrices may round their sides to; sums are in float32 at any. */
export type MatmulPrecision = "float32" | "float16";

/** Where tensors live and ops run. */
export interface Device extends Disposable {
  readonly name: DeviceName;
  /** What it is, in words: the name of a graphics card, say. */
  readonly description: string;
  /** Optional abilities, such as `simd`, `relaxed-simd`, `threads`, `subgroups`, `shader-f16`. */
  readonly features: ReadonlySet<string>;
  readonly limits: DeviceLimits;
  /** Threads that kernels are spread over. */
  readonly threads: number;
  /** Of what is enqueued from now on; devices without fast float16 products compute in float32 at any. Default `float32`. */
  matmulPrecision: MatmulPrecision;
  /** Precisions that {@link matmulPrecision} makes a difference between. */
  readonly matmulPrecisions: readonly MatmulPrecision[];
  memory(): MemoryUse;
  /** Starts the work that has been enqueued so far without waiting for it. */
  flush(): void;
  /**
   * Runs some work and tells what its kernels took by the device's own clock, the longest first; they run one after another
   * meanwhile. There on WebGPU devices that have the feature `timestamp-query`.
   */
  profile?(work: () => unknown): Promise<KernelTime[]>;
  /** Settles when the device can no longer be used; never rejects. */
  readonly lost: Promise<DeviceError>;
  /** Frees everything the device holds. Idempotent. */
  dispose(): void;
}

/** Parameters of an op that are not tensors. */
export type Params = Readonly<Record<string, number | boolean | string | readonly number[] | undefined>>;

/** One op to run: tensors by the names of its signature, sizes by the names of its axes. */
export interface KernelCall {
  readonly op: string;
  readonly inputs: Readonly<Record<string, Tensor | undefined>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly params: Params;
  readonly axes: Readonly<Record<string, number>>;
}

/** Commands of some work on a device, to be run as often as one likes. */
export interface Recorded<Result> extends Disposable {
  /** What the work returned; each replay computes its tensors anew. */
  readonly result: Result;
  /** Enqueues the commands. */
  replay(): void;
  /** Gives back what only the commands need. Idempotent. */
  dispose(): void;
}

/** What a recorder of operations is told; autograd implements it. */
export interface Recorder {
  record(operation: unknown, call: KernelCall): void;
}

/** The side of a device that storage and ops see: memory and kernels, and no mathematics. */
export interface Backend extends Device {
  /** Kernels by op name; filled once, when the device is opened. */
  readonly kernels: Readonly<Record<string, unknown>>;
  /** Installed for the time of `valueAndGrad`; undefined in inference. */
  recorder: Recorder | undefined;
  allocate(byteLength: number): unknown;
  free(memory: unknown): void;
  /** Copies bytes in; ordered before everything enqueued later and after everything enqueued earlier. */
  write(memory: unknown, byteOffset: number, bytes: Uint8Array): void;
  /** Zeroes bytes, multiples of 4, in the order of what is enqueued. */
  clear(memory: unknown, byteOffset: number, byteLength: number): void;
  /** Copies bytes out after everything enqueued so far; rejects with the first late error. */
  read(memory: unknown, byteOffset: number, byteLength: number): Promise<Uint8Array>;
  /** Enqueues one kernel. */
  launch(kernel: unknown, call: KernelCall): void;
  /**
   * Calls `work`, and keeps the commands that its ops enqueue instead of running them. They run at each replay, on the tensors that
   * `work` saw; those must live as long as the recording. `work` must not move bytes between host and device.
   * There on backends where enqueueing an op costs more than running it may.
   */
  record?<Result>(work: () => Result): Recorded<Result>;
}
