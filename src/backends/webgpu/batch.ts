import { BindGroups } from "./bind-groups.ts";
import type { GpuMemory } from "./buffer-pool.ts";
import type { CommandSink, Copy, Dispatch } from "./commands.ts";
import type { Pipelines } from "./pipelines.ts";
import type { Profiler } from "./profiler.ts";
import { gridOf, type Program } from "./program.ts";
import type { Recording } from "./recording.ts";

/** UNIFORM and COPY_DST. */
const UNIFORM_USAGE = 0x40 | 0x8;
/** Bytes of parameters of one batch. */
const ARENA_BYTES = 65536;
/** Commands of the first batch after the device had nothing to do: few, so that it starts while the host goes on. */
const FEWEST_COMMANDS = 16;
const MOST_COMMANDS = 256;

/**
 * Commands on their way to a device: dispatches are gathered in one compute pass, their parameters in one buffer that is written just
 * before they are submitted.
 */
export class Batch implements CommandSink {
  readonly #device: GPUDevice;
  readonly #pipelines: Pipelines;
  readonly #arena: GPUBuffer;
  readonly #params = new DataView(new ArrayBuffer(ARENA_BYTES));
  readonly #alignment: number;
  readonly #groups: BindGroups;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** What the pass is set to. */
  #pipeline: GPUComputePipeline | undefined;
  #at = 0;
  #commands = 0;
  #wanted = FEWEST_COMMANDS;
  /** Times dispatches while it is there. */
  profiler: Profiler | undefined;
  /** Counts submissions, from 1. */
  number = 1;

  constructor(device: GPUDevice, pipelines: Pipelines) {
    this.#device = device;
    this.#pipelines = pipelines;
    this.#alignment = device.limits.minUniformBufferOffsetAlignment;
    this.#arena = device.createBuffer({ label: "parameters", size: ARENA_BYTES, usage: UNIFORM_USAGE });
    this.#groups = new BindGroups(device, this.#arena);
  }

  dispatch(
    program: Program,
    bound: readonly GpuMemory[],
    params: Readonly<Record<string, number>>,
    groups: number,
    op: string,
  ): void {
    if (groups === 0) return;
    const compiled = this.#pipelines.get(program, op);
    const bytes = Math.ceil(compiled.params.byteLength / this.#alignment) * this.#alignment;
    if (this.#at + bytes > ARENA_BYTES) this.submit();
    compiled.params.write(params, this.#params, this.#at);
    const group = this.#groups.get(compiled, bound);
    const { pipeline } = compiled;
    this.#run({ pipeline, group, offset: [this.#at], grid: gridOf(groups), op, program: program.name });
    this.#at += bytes;
    for (let i = 0; i < bound.length; i++) bound[i]!.lastBatch = this.number;
    if (this.#commands >= this.#wanted) this.#submitEarly();
  }

  #run({ pipeline, group, offset, grid, op, program }: Dispatch): void {
    if (this.profiler) this.#endPass();
    this.#pass ??= this.#open().beginComputePass(this.profiler?.next(op, program));
    if (this.#pipeline !== pipeline) this.#pass.setPipeline(pipeline);
    this.#pipeline = pipeline;
    this.#pass.setBindGroup(0, group, offset);
    this.#pass.dispatchWorkgroups(grid[0], grid[1]);
    this.#commands++;
  }

  #open(): GPUCommandEncoder {
    this.#encoder ??= this.#device.createCommandEncoder();
    return this.#encoder;
  }

  copy(from: GpuMemory, fromOffset: number, to: GpuMemory, toOffset: number, byteLength: number): void {
    this.copyBytes({ from: from.buffer, fromOffset, to: to.buffer, toOffset, byteLength });
    from.lastBatch = this.number;
    to.lastBatch = this.number;
  }

  /** Copies between any buffers, after everything enqueued so far. */
  copyBytes({ from, fromOffset, to, toOffset, byteLength }: Copy): void {
    this.#endPass();
    this.#open().copyBufferToBuffer(from, fromOffset, to, toOffset, byteLength);
    this.#commands++;
  }

  /** Zeroes bytes of a buffer, after everything enqueued so far. */
  clear(memory: GpuMemory, byteOffset: number, byteLength: number): void {
    this.#clearBytes(memory.buffer, byteOffset, byteLength);
    memory.lastBatch = this.number;
  }

  #clearBytes(buffer: GPUBuffer, byteOffset: number, byteLength: number): void {
    this.#endPass();
    this.#open().clearBuffer(buffer, byteOffset, byteLength);
    this.#commands++;
  }

  /** Enqueues everything that was recorded. */
  replay({ commands, memories }: Recording): void {
    for (let i = 0; i < commands.length; i++) {
      const command = commands[i]!;
      if (command.kind === "dispatch") this.#run(command);
      else if (command.kind === "copy") this.copyBytes(command);
      else this.#clearBytes(command.buffer, command.byteOffset, command.byteLength);
    }
    for (let i = 0; i < memories.length; i++) memories[i]!.lastBatch = this.number;
    if (this.#commands >= this.#wanted) this.#submitEarly();
  }

  /** Hands over what there is though nobody asks for it yet. */
  #submitEarly(): void {
    this.submit();
    this.#wanted = Math.min(2 * this.#wanted, MOST_COMMANDS);
  }

  /** The host waits for the device: it will have nothing to do when more comes. */
  expectIdle(): void {
    this.#wanted = FEWEST_COMMANDS;
  }

  /** Forgets bind groups, before buffers that they name are destroyed. */
  forget(): void {
    this.#groups.clear();
  }

  /** Hands over what there is. */
  submit(): void {
    if (!this.#encoder) return;
    this.#endPass();
    if (this.#at > 0) this.#device.queue.writeBuffer(this.#arena, 0, this.#params.buffer as ArrayBuffer, 0, this.#at);
    this.#device.queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
    this.#at = 0;
    this.#commands = 0;
    this.number++;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
    this.#pipeline = undefined;
  }
}
