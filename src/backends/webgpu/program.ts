/** Element types of bindings. */
export type GpuType =
  | "f32"
  | "i32"
  | "u32"
  | "vec2<f32>"
  | "vec4<f32>"
  | "vec2<u32>"
  | "vec4<u32>"
  | "f16"
  | "vec4<f16>"
  | "atomic<u32>";

/** One storage buffer of a program. */
export interface GpuBinding {
  readonly name: string;
  readonly type: GpuType;
  readonly write?: boolean;
}

/** A compute shader with what it is given. */
export interface Program {
  /** Unique: programs of the same name are the same. */
  readonly name: string;
  readonly bindings: readonly GpuBinding[];
  /** Numbers by name: u32, i32 or f32. */
  readonly params: readonly `${string}:${"u32" | "i32" | "f32"}`[];
  /** Extensions of WGSL; the device must have their features. */
  readonly requires?: readonly string[];
  /** Threads of a workgroup; default 64. */
  readonly workgroup?: number;
  /** Functions and workgroup memory of its own. */
  readonly declarations?: string;
  /**
   * Statements of the entry point. `group`, `lane` (u32) and `index` = group x workgroup + lane are there, and `p`, the parameters.
   */
  readonly body: string;
}

const known = new Map<string, Program>();

/** The program of that name; its text is written once, however often it is dispatched. */
export function programNamed(name: string, make: () => Omit<Program, "name">): Program {
  let program = known.get(name);
  if (!program) {
    program = { name, ...make() };
    known.set(name, program);
  }
  return program;
}

/** The shader that a program stands for. */
export function programCode(program: Program): string {
  const { bindings, params, requires = [], workgroup = 64, declarations = "", body } = program;
  const storage = bindings.map(({ name, type, write }, i) => {
    return `@group(0) @binding(${i}) var<storage, ${write ? "read_write" : "read"}> ${name}: array<${type}>;`;
  });
  const fields = params.map((param) => `  ${param.replace(":", ": ")},`);
  return [
    ...requires.map((extension) => `enable ${extension};`),
    // offsets of fragments differ between subgroups, never within one
    ...(requires.includes("chromium_experimental_subgroup_matrix")
      ? ["diagnostic(off, chromium.subgroup_matrix_uniformity);"]
      : []),
    ...storage,
    "struct Params {",
    ...(fields.length ? fields : ["  unused: u32,"]),
    "}",
    `@group(0) @binding(${bindings.length}) var<uniform> p: Params;`,
    declarations,
    `@compute @workgroup_size(${workgroup})`,
    "fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {",
    "  let group = group_id.x + group_id.y * groups.x;",
    `  let index = group * ${workgroup}u + lane;`,
    body,
    "}",
  ].join("\n");
}

/** Bytes of a program's parameters, padded as uniform buffers want it. */
export function paramBytes({ params }: Program): number {
  return Math.max(16, Math.ceil(params.length / 4) * 16);
}

/** Where each parameter goes: read off the declarations once, since parameters are written at every dispatch. */
export class ParamLayout {
  readonly byteLength: number;
  readonly #program: string;
  readonly #names: readonly string[];
  readonly #types: readonly string[];

  constructor(program: Program) {
    this.byteLength = paramBytes(program);
    this.#program = program.name;
    this.#names = program.params.map((param) => param.slice(0, param.indexOf(":")));
    this.#types = program.params.map((param) => param.slice(param.indexOf(":") + 1));
  }

  /** Writes parameters from byte `at` on; throws if one is missing. */
  write(values: Readonly<Record<string, number>>, to: DataView, at: number): void {
    const names = this.#names;
    for (let i = 0, place = at; i < names.length; i++, place += 4) {
      const value = values[names[i]!];
      if (value === undefined) throw new Error(`${this.#program}: parameter ${names[i]} is missing`);
      const type = this.#types[i];
      if (type === "f32") to.setFloat32(place, value, true);
      else if (type === "i32") to.setInt32(place, value, true);
      else to.setUint32(place, value, true);
    }
  }
}

/** Groups for a number of workgroups, within what one axis may have. */
export function gridOf(groups: number, most = 65535): [number, number] {
  if (groups <= most) return [groups, 1];
  const rows = Math.ceil(groups / most);
  return [Math.ceil(groups / rows), rows];
}
