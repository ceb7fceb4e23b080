import { type Program, programNamed, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { adamwUpdate } from "./adamw.webgpu.ts";
import { addSquaredNorm } from "./squares.webgpu.ts";

const WORKGROUP = 64;

/** A program over all elements of tensors that are dense; `scale` and `skip` where they are given. */
function update(
  name: string,
  written: readonly string[],
  read: readonly string[],
  given: readonly string[],
  params: Program["params"],
  body: string,
): Program {
  const all = [...written, ...read, ...given];
  return programNamed(`${name} ${all.join(" ")}`, () => ({
    bindings: all.map((binding) => ({
      name: binding,
      type: binding === "skip" ? "i32" : "f32",
      write: written.includes(binding),
    })),
    params: ["count:u32", ...all.map((binding) => `${binding}Offset:u32` as const), ...params],
    workgroup: WORKGROUP,
    body: `
  ${given.includes("skip") ? "if (skip[p.skipOffset] != 0) { return; }" : ""}
  if (index >= p.count) { return; }
  let g = gradient[p.gradientOffset + index]${given.includes("scale") ? " * scale[p.scaleOffset]" : ""};
  ${body}`,
  }));
}

const at = (name: string): string => `${name}[p.${name}Offset + index]`;

const sgd = (given: readonly string[], velocity: boolean): Program =>
  update(
    "sgdUpdate",
    velocity ? ["parameter", "velocity"] : ["parameter"],
    ["gradient"],
    given,
    ["momentum:f32", "decay:f32", "rate:f32"],
    `
  var step = fma(p.decay, ${at("parameter")}, g);
  ${velocity ? `step = fma(p.momentum, ${at("velocity")}, step); ${at("velocity")} = step;` : ""}
  ${at("parameter")} = fma(-p.rate, step, ${at("parameter")});`,
  );

const averageProgram: Program = {
  name: "averageUpdate",
  bindings: [
    { name: "average", type: "f32", write: true },
    { name: "x", type: "f32" },
  ],
  params: ["count:u32", "averageOffset:u32", "xOffset:u32", "decay:f32", "rest:f32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  // a decay of 0 copies, whatever was there
  let kept = select(p.decay * ${at("average")}, 0.0, p.decay == 0.0);
  ${at("average")} = fma(p.rest, ${at("x")}, kept);`,
};

function run(
  context: Parameters<WebgpuKernel>[0],
  program: Program,
  tensors: Readonly<Record<string, Tensor | undefined>>,
  factors: Readonly<Record<string, number>>,
): void {
  const count = (tensors["parameter"] ?? tensors["average"])!.size;
  const own = program.bindings.map(({ name }) => tensors[name]!);
  const offsets = Object.fromEntries(program.bindings.map(({ name }, i) => [`${name}Offset`, own[i]!.offset]));
  context.dispatch(program, own, { count, ...offsets, ...factors }, Math.ceil(count / WORKGROUP));
}

const givenOf = (inputs: Readonly<Record<string, Tensor | undefined>>): string[] =>
  ["scale", "skip"].filter((name) => inputs[name] !== undefined);

const sgdUpdate: WebgpuKernel = (context, { inputs, params }) => {
  const { learningRate, momentum, weightDecay } = params as Record<string, number>;
  const program = sgd(givenOf(inputs), inputs["velocity"] !== undefined);
  run(context, program, inputs, { momentum: momentum!, decay: weightDecay!, rate: learningRate! });
};

const averageUpdate: WebgpuKernel = (context, { inputs, params }) => {
  const decay = params["decay"] as number;
  run(context, averageProgram, inputs, { decay, rest: 1 - decay });
};

/** WebGPU kernels of this folder. */
export const optimizerUpdateWebgpu = {
  adamwUpdate,
  sgdUpdate,
  averageUpdate,
  addSquaredNorm,
} as const satisfies Record<string, WebgpuKernel>;
