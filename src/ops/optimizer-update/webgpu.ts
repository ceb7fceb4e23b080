import { groupSum, type Program, programNamed, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const WORKGROUP = 64;
/** Elements whose squares one workgroup adds up. */
const CHUNK = 4096;

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

const adamw = (given: readonly string[]): Program =>
  update(
    "adamwUpdate",
    ["parameter", "mean", "square"],
    ["gradient"],
    given,
    ["beta1:f32", "rest1:f32", "beta2:f32", "rest2:f32", "kept:f32", "rate:f32", "correction:f32", "epsilon:f32"],
    `
  let m = fma(p.rest1, g, p.beta1 * ${at("mean")});
  let v = fma(p.rest2 * g, g, p.beta2 * ${at("square")});
  ${at("mean")} = m;
  ${at("square")} = v;
  ${at("parameter")} = ${at("parameter")} * p.kept - p.rate * m / fma(sqrt(v), p.correction, p.epsilon);`,
  );

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

const squareProgram: Program = {
  name: "addSquaredNorm chunks",
  bindings: [
    { name: "x", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["count:u32", "xOffset:u32", "chunks:u32"],
  workgroup: WORKGROUP,
  declarations: groupSum(WORKGROUP),
  body: `
  var sum = 0.0;
  let end = min(p.count, (group + 1u) * ${CHUNK}u);
  for (var i = group * ${CHUNK}u + lane; i < end; i += ${WORKGROUP}u) {
    let value = x[p.xOffset + i];
    sum = fma(value, value, sum);
  }
  let total = groupSum(lane, sum);
  if (lane == 0u && group < p.chunks) { out[group] = total; }`,
};

const addProgram: Program = {
  name: "addSquaredNorm total",
  bindings: [
    { name: "x", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["chunks:u32", "outOffset:u32"],
  workgroup: WORKGROUP,
  declarations: groupSum(WORKGROUP),
  body: `
  var sum = 0.0;
  for (var i = lane; i < p.chunks; i += ${WORKGROUP}u) { sum += x[i]; }
  let total = groupSum(lane, sum);
  if (index == 0u) { out[p.outOffset] += total; }`,
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

const adamwUpdate: WebgpuKernel = (context, { inputs, params }) => {
  const { learningRate, beta1, beta2, epsilon, weightDecay, step } = params as Record<string, number>;
  run(context, adamw(givenOf(inputs)), inputs, {
    ...{ beta1: beta1!, rest1: 1 - beta1!, beta2: beta2!, rest2: 1 - beta2! },
    ...{ kept: 1 - learningRate! * weightDecay!, rate: learningRate! / (1 - beta1! ** step!) },
    ...{ correction: 1 / Math.sqrt(1 - beta2! ** step!), epsilon: epsilon! },
  });
};

const sgdUpdate: WebgpuKernel = (context, { inputs, params }) => {
  const { learningRate, momentum, weightDecay } = params as Record<string, number>;
  const program = sgd(givenOf(inputs), inputs["velocity"] !== undefined);
  run(context, program, inputs, { momentum: momentum!, decay: weightDecay!, rate: learningRate! });
};

const averageUpdate: WebgpuKernel = (context, { inputs, params }) => {
  const decay = params["decay"] as number;
  run(context, averageProgram, inputs, { decay, rest: 1 - decay });
};

const addSquaredNorm: WebgpuKernel = (context, { inputs }) => {
  const [x, total] = [inputs["x"]!, inputs["total"]!];
  if (x.size === 0) return;
  const chunks = Math.ceil(x.size / CHUNK);
  const sums = context.scratch(4 * chunks);
  context.dispatch(squareProgram, [x, sums], { count: x.size, xOffset: x.offset, chunks }, chunks);
  context.dispatch(addProgram, [sums, total], { chunks, outOffset: total.offset }, 1);
};

/** WebGPU kernels of this folder. */
export const optimizerUpdateWebgpu = {
  adamwUpdate,
  sgdUpdate,
  averageUpdate,
  addSquaredNorm,
} as const satisfies Record<string, WebgpuKernel>;
