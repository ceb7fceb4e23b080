import { makeBindGroup } from "./bind-groups.ts";
import type { BufferPool, GpuMemory } from "./buffer-pool.ts";
import type { Command, CommandSink } from "./commands.ts";
import type { Pipeline, Pipelines } from "./pipelines.ts";
import { gridOf, type Program } from "./program.ts";

/** UNIFORM and COPY_DST. */
const UNIFORM_USAGE = 0x40 | 0x8;
const FIRST_BYTES = 16384;

/** A dispatch whose bind group waits for the buffer of parameters. */
interface Draft {
  readonly compiled: Pipeline;
  readonly bound: readonly GpuMemory[];
  readonly offset: number;
  readonly groups: number;
  readonly op: string;
}

/**
 * Commands that are run again and again, with parameters in a buffer of their own: a replay costs the host three native calls a
 * dispatch. The buffers that they name are kept from everyone else until the recording is disposed.
 */
export class Recording implements CommandSink {
  readonly commands: Command[] = [];
  readonly #device: GPUDevice;
  readonly #pool: BufferPool;
  readonly #pipelines: Pipelines;
  readonly #alignment: number;
  readonly #named = new Set<GpuMemory>();
  #drafts: (Draft | Command)[] = [];
  #params = new DataView(new ArrayBuffer(FIRST_BYTES));
  #at = 0;
  #uniforms: GPUBuffer | undefined;
  #memories: readonly GpuMemory[] = [];

  constructor(device: GPUDevice, pool: BufferPool, pipelines: Pipelines) {
    this.#device = device;
    this.#pool = pool;
    this.#pipelines = pipelines;
    this.#alignment = device.limits.minUniformBufferOffsetAlignment;
  }

  /** All buffers that the commands name. */
  get memories(): readonly GpuMemory[] {
    return this.#memories;
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
    if (this.#at + bytes > this.#params.byteLength) this.#grow();
    compiled.params.write(params, this.#params, this.#at);
    this.#drafts.push({ compiled, bound, offset: this.#at, groups, op });
    this.#at += bytes;
    for (const memory of bound) this.#named.add(memory.whole ?? memory);
  }

  copy(from: GpuMemory, fromOffset: number, to: GpuMemory, toOffset: number, byteLength: number): void {
    this.#drafts.push({ kind: "copy", from: from.buffer, fromOffset, to: to.buffer, toOffset, byteLength });
    this.#named.add(from).add(to);
  }

  clear(memory: GpuMemory, byteOffset: number, byteLength: number): void {
    this.#drafts.push({ kind: "clear", buffer: memory.buffer, byteOffset, byteLength });
    this.#named.add(memory);
  }

  #grow(): void {
    const larger = new Uint8Array(2 * this.#params.byteLength);
    larger.set(new Uint8Array(this.#params.buffer));
    this.#params = new DataView(larger.buffer);
  }

  /** Makes what was recorded ready to be replayed. */
  finish(): void {
    this.#memories = [...this.#named];
    for (const memory of this.#memories) this.#pool.pin(memory);
    const size = Math.max(this.#alignment, this.#at);
    const uniforms = this.#device.createBuffer({ label: "recorded parameters", size, usage: UNIFORM_USAGE });
    this.#device.queue.writeBuffer(uniforms, 0, this.#params.buffer as ArrayBuffer, 0, this.#at);
    for (const draft of this.#drafts) {
      this.commands.push("compiled" in draft ? this.#ready(draft, uniforms) : draft);
    }
    this.#uniforms = uniforms;
    this.#drafts = [];
  }

  #ready({ compiled, bound, offset, groups, op }: Draft, uniforms: GPUBuffer): Command {
    const group = makeBindGroup(this.#device, compiled, bound, uniforms);
    const { pipeline, program } = compiled;
    return { kind: "dispatch", pipeline, group, offset: [offset], grid: gridOf(groups), op, program: program.name };
  }

  /** Gives the buffers back. Idempotent. */
  dispose(): void {
    for (const memory of this.#memories) this.#pool.unpin(memory);
    this.#memories = [];
    this.commands.length = 0;
    this.#uniforms?.destroy();
    this.#uniforms = undefined;
  }
}
