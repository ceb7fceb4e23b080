import type { KernelCall, MatmulPrecision } from "../../tensor/device.ts";
import type { Tensor, View } from "../../tensor/tensor.ts";
import type { GpuMemory } from "./buffer-pool.ts";
import type { Program } from "./program.ts";

/** What a dispatch reads or writes: a tensor's whole buffer, or scratch. */
export type Bound = Tensor | GpuMemory;

/** What an op's encoder sees. */
export interface WebgpuKernelContext {
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  /** Threads of a subgroup where the device has subgroups and they are all of one size, else 0. */
  readonly subgroupSize: number;
  /** Whether fragments of 16 x 16 x 16 are multiplied in float16 and added up in float32. */
  readonly hasMatrixCores: boolean;
  /** What products of matrices may round their sides to. */
  readonly precision: MatmulPrecision;
  /** Whether there may be tensors that no binding can have all of; where not, nothing needs {@link window}. */
  readonly hasLarge: boolean;
  /** Positions that what is checked now begins at, by argument, where it is a part; see {@link failure}. */
  positions: Readonly<Record<string, number>>;
  /**
   * Part of a tensor, for encoders: it is bound by a window of its buffer where that is larger than a binding may be, and its offset
   * counts from there. Nobody disposes it.
   *
   * @param view - of the tensor's buffer; its rows may lie apart
   * @returns undefined if the part itself is too large for a binding
   */
  window(whole: Tensor, view: View): Tensor | undefined;
  /** Calls `work`, and takes back the scratch that it asks for when it returns. */
  within(work: () => void): void;
  /** Memory until the encoder returns; what is enqueued may use it. */
  scratch(byteLength: number): GpuMemory;
  /** Copies floats between buffers, places and count in elements, after everything enqueued so far. */
  copy(from: Bound, fromOffset: number, to: Bound, toOffset: number, count: number): void;
  /** Numbers from the host, until the encoder returns. */
  upload(data: Float32Array<ArrayBuffer>): GpuMemory;
  /**
   * Where a kernel notes the first id that is out of range: bind it as `failure`, an array<atomic<u32>> that is written, and call
   * `fail(p.code, id, position)` of {@link failureCode}. The next read is rejected then.
   *
   * @param expected - ids are below this
   * @returns the memory, and the code to pass
   */
  failure(argument: string, expected: number): { memory: GpuMemory; code: number };
  /**
   * Enqueues a program.
   *
   * @param bound - in the order of the program's bindings. Kernels address elements from the start of the buffer: pass
   *   `tensor.offset` as a parameter
   * @param groups - workgroups in all; spread over two axes where one cannot hold them
   * @throws OutOfMemoryError if a binding would have more bytes than the device allows
   */
  dispatch(program: Program, bound: readonly Bound[], params: Readonly<Record<string, number>>, groups: number): void;
}

/** WGSL of `fail`, for programs with a binding `failure`: the first call wins. */
export const failureCode = `
fn fail(code: u32, id: i32, position: u32) {
  if (atomicCompareExchangeWeak(&failure[0], 0u, code).exchanged) {
    atomicStore(&failure[1], bitcast<u32>(id));
    atomicStore(&failure[2], position);
  }
}`;

/** Enqueues one op. */
export type WebgpuKernel = (context: WebgpuKernelContext, call: KernelCall) => void;
