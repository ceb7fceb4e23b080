import type { GpuMemory } from "./buffer-pool.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Profiler } from "./profiler.ts";
import { gridOf, type Program, paramBytes, writeParams } from "./program.ts";

/** UNIFORM and COPY_DST. */
const UNIFORM_USAGE = 0x40 | 0x8;
/** Bytes of parameters of one batch; with 256 a dispatch, as many dispatches as are worth waiting for. */
const ARENA_BYTES = 65536;
const MOST_GROUPS_KEPT = 8192;

/**
 * Commands on their way to a device: dispatches are gathered in one compute pass, their parameters in one buffer that is written just
 * before they are submitted.
 */
export class Batch {
  readonly #device: GPUDevice;
  readonly #pipelines: Pipelines;
  readonly #arena: GPUBuffer;
  readonly #params = new DataView(new ArrayBuffer(ARENA_BYTES));
  readonly #alignment: number;
  readonly #groups = new Map<string, GPUBindGroup>();
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #at = 0;
  /** Times dispatches while it is there. */
  profiler: Profiler | undefined;
  /** Counts submissions, from 1. */
  number = 1;

  constructor(device: GPUDevice, pipelines: Pipelines) {
    this.#device = device;
    this.#pipelines = pipelines;
    this.#alignment = device.limits.minUniformBufferOffsetAlignment;
    this.#arena = device.createBuffer({ label: "parameters", size: ARENA_BYTES, usage: UNIFORM_USAGE });
  }

  /** Whether there is anything to submit. */
  get isEmpty(): boolean {
    return this.#encoder === undefined;
  }

  dispatch(
    program: Program,
    bound: readonly GpuMemory[],
    params: Readonly<Record<string, number>>,
    groups: number,
    op: string,
  ): void {
    if (groups === 0) return;
    const bytes = Math.ceil(paramBytes(program) / this.#alignment) * this.#alignment;
    if (this.#at + bytes > ARENA_BYTES) this.submit();
    writeParams(program, params, this.#params, this.#at);
    const { pipeline, layout } = this.#pipelines.get(program, op);
    this.#encoder ??= this.#device.createCommandEncoder();
    if (this.profiler) this.#endPass();
    this.#pass ??= this.#encoder.beginComputePass(this.profiler?.next(op, program.name));
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, this.#groupOf(program, bound, layout), [this.#at]);
    this.#pass.dispatchWorkgroups(...gridOf(groups));
    this.#at += bytes;
    for (const memory of bound) memory.lastBatch = this.number;
  }

  #groupOf(program: Program, bound: readonly GpuMemory[], layout: GPUBindGroupLayout): GPUBindGroup {
    const key = `${program.name}|${bound.map(({ id }) => id).join()}`;
    const known = this.#groups.get(key);
    if (known) return known;
    if (this.#groups.size >= MOST_GROUPS_KEPT) this.#groups.clear();
    const entries: GPUBindGroupEntry[] = bound.map(({ buffer }, binding) => ({ binding, resource: { buffer } }));
    entries.push({ binding: bound.length, resource: { buffer: this.#arena, size: paramBytes(program) } });
    const made = this.#device.createBindGroup({ label: program.name, layout, entries });
    this.#groups.set(key, made);
    return made;
  }

  /** Copies between buffers, after everything enqueued so far. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, byteLength: number): void {
    this.#endPass();
    this.#encoder ??= this.#device.createCommandEncoder();
    this.#encoder.copyBufferToBuffer(from, fromOffset, to, toOffset, byteLength);
  }

  /** Zeroes bytes of a buffer, after everything enqueued so far. */
  clear(memory: GpuMemory, byteOffset: number, byteLength: number): void {
    this.#endPass();
    this.#encoder ??= this.#device.createCommandEncoder();
    this.#encoder.clearBuffer(memory.buffer, byteOffset, byteLength);
    memory.lastBatch = this.number;
  }

  /** Hands over what there is. */
  submit(): void {
    if (!this.#encoder) return;
    this.#endPass();
    if (this.#at > 0) this.#device.queue.writeBuffer(this.#arena, 0, this.#params.buffer as ArrayBuffer, 0, this.#at);
    this.#device.queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
    this.#at = 0;
    this.number++;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  /** Forgets bind groups, before buffers that they name are destroyed. */
  forget(): void {
    this.#groups.clear();
  }
}
