import type { GpuMemory } from "./buffer-pool.ts";
import type { Program } from "./program.ts";

/** One run of a program. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  /** Of its parameters, in bytes: the one dynamic offset. */
  readonly offset: readonly [number];
  readonly grid: readonly [number, number];
  readonly op: string;
  readonly program: string;
}

/** A copy between buffers, in bytes. */
export interface Copy {
  readonly from: GPUBuffer;
  readonly fromOffset: number;
  readonly to: GPUBuffer;
  readonly toOffset: number;
  readonly byteLength: number;
}

/** Bytes of a buffer to be zeroed. */
export interface Clear {
  readonly buffer: GPUBuffer;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** Anything that a device does in order. */
export type Command =
  | ({ readonly kind: "dispatch" } & Dispatch)
  | ({ readonly kind: "copy" } & Copy)
  | ({ readonly kind: "clear" } & Clear);

/** Where encoders' commands go: a batch on its way to the device, or a recording. */
export interface CommandSink {
  dispatch(
    program: Program,
    bound: readonly GpuMemory[],
    params: Readonly<Record<string, number>>,
    groups: number,
    op: string,
  ): void;
  copy(from: GpuMemory, fromOffset: number, to: GpuMemory, toOffset: number, byteLength: number): void;
  clear(memory: GpuMemory, byteOffset: number, byteLength: number): void;
}
