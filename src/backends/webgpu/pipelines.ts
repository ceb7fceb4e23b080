import type { Cause, LateErrors } from "./late-errors.ts";
import { ParamLayout, type Program, programCode } from "./program.ts";

/** Visibility of compute shaders. */
const COMPUTE = 0x4;

/** A program that can be run. */
export interface Pipeline {
  readonly program: Program;
  /** Tells pipelines of a device apart. */
  readonly id: number;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly params: ParamLayout;
}

/** Compiled programs. */
export class Pipelines {
  readonly #device: GPUDevice;
  readonly #byName = new Map<string, Pipeline>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  /** The ops that programs were first run for. */
  readonly #ops = new Map<string, string>();
  readonly #errors: LateErrors;
  #nextId = 1;

  constructor(device: GPUDevice, errors: LateErrors) {
    this.#device = device;
    this.#errors = errors;
  }

  /** Compiles a program once, for an op. One that the device refuses is reported, and tried again the next time. */
  get(program: Program, op: string): Pipeline {
    const { name } = program;
    const known = this.#byName.get(name);
    if (known) return known;
    this.#ops.set(name, op);
    const made = this.#errors.guard(
      "validation",
      { op, program: name },
      () => this.#compile(program),
      () => this.#byName.delete(name),
    );
    this.#byName.set(name, made);
    return made;
  }

  /** The program that a message of the device names, and its op. */
  causeOf(message: string): Cause {
    let program = "";
    for (const name of this.#ops.keys()) if (name.length > program.length && message.includes(name)) program = name;
    return program ? { op: this.#ops.get(program)!, program } : {};
  }

  #compile(program: Program): Pipeline {
    const layout = this.#layout(program);
    const module = this.#device.createShaderModule({ label: program.name, code: programCode(program) });
    const pipeline = this.#device.createComputePipeline({
      label: program.name,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    return { program, id: this.#nextId++, layout, pipeline, params: new ParamLayout(program) };
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
