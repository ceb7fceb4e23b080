import type { GpuMemory } from "./buffer-pool.ts";
import type { Pipeline } from "./pipelines.ts";

interface Entry {
  readonly pipeline: Pipeline;
  readonly ids: readonly number[];
  readonly group: GPUBindGroup;
}

const MOST_KEPT = 8192;

/** A bind group of some buffers, and after them the parameters, whose place is given at every dispatch. */
export function makeBindGroup(
  device: GPUDevice,
  { program, layout, params }: Pipeline,
  bound: readonly GpuMemory[],
  uniforms: GPUBuffer,
): GPUBindGroup {
  const entries: GPUBindGroupEntry[] = bound.map(({ buffer, start, byteLength }, binding) => ({
    binding,
    resource: start === undefined ? { buffer } : { buffer, offset: start, size: byteLength },
  }));
  entries.push({ binding: bound.length, resource: { buffer: uniforms, size: params.byteLength } });
  return device.createBindGroup({ label: program.name, layout, entries });
}

/** Bind groups by program and buffers, since most dispatches come again. Found by a hash of numbers: no key is made. */
export class BindGroups {
  readonly #device: GPUDevice;
  readonly #uniforms: GPUBuffer;
  readonly #entries = new Map<number, Entry[]>();
  #count = 0;

  constructor(device: GPUDevice, uniforms: GPUBuffer) {
    this.#device = device;
    this.#uniforms = uniforms;
  }

  get(pipeline: Pipeline, bound: readonly GpuMemory[]): GPUBindGroup {
    let hash = pipeline.id;
    for (let i = 0; i < bound.length; i++) hash = Math.imul(hash, 0x01000193) ^ bound[i]!.id;
    const bucket = this.#entries.get(hash);
    if (bucket) {
      for (const entry of bucket) if (matches(entry, pipeline, bound)) return entry.group;
    }
    return this.#make(hash, pipeline, bound);
  }

  clear(): void {
    this.#entries.clear();
    this.#count = 0;
  }

  #make(hash: number, pipeline: Pipeline, bound: readonly GpuMemory[]): GPUBindGroup {
    if (this.#count >= MOST_KEPT) this.clear();
    const group = makeBindGroup(this.#device, pipeline, bound, this.#uniforms);
    const entry = { pipeline, ids: bound.map(({ id }) => id), group };
    const bucket = this.#entries.get(hash);
    if (bucket) bucket.push(entry);
    else this.#entries.set(hash, [entry]);
    this.#count++;
    return group;
  }
}

function matches(entry: Entry, pipeline: Pipeline, bound: readonly GpuMemory[]): boolean {
  if (entry.pipeline !== pipeline) return false;
  for (let i = 0; i < bound.length; i++) if (entry.ids[i] !== bound[i]!.id) return false;
  return true;
}
