import { type Program, programCode } from "./program.ts";

/** Visibility of compute shaders. */
const COMPUTE = 0x4;

/** A program that can be run. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compiled programs and the bind groups that they were run with. */
export class Pipelines {
  readonly #device: GPUDevice;
  readonly #byName = new Map<string, Pipeline>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Compiles a program once. Errors in it reach the device's error scopes. */
  get(program: Program): Pipeline {
    const known = this.#byName.get(program.name);
    if (known) return known;
    const layout = this.#layout(program);
    const code = programCode(program);
    const module = this.#device.createShaderModule({ label: program.name, code });
    const made: Pipeline = {
      layout,
      pipeline: this.#device.createComputePipeline({
        label: program.name,
        layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      }),
    };
    this.#byName.set(program.name, made);
    return made;
  }

  #layout({ bindings }: Program): GPUBindGroupLayout {
    const key = bindings.map(({ write }) => (write ? "w" : "r")).join("");
    const known = this.#layouts.get(key);
    if (known) return known;
    const entries: GPUBindGroupLayoutEntry[] = bindings.map(({ write }, binding) => ({
      binding,
      visibility: COMPUTE,
      buffer: { type: write ? "storage" : "read-only-storage" },
    }));
    const uniform = { type: "uniform", hasDynamicOffset: true } as const;
    entries.push({ binding: bindings.length, visibility: COMPUTE, buffer: uniform });
    const made = this.#device.createBindGroupLayout({ entries });
    this.#layouts.set(key, made);
    return made;
  }
}
