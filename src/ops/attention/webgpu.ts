import type { WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { type Bound, type Program, programNamed, type WebgpuKernel, wgslMath } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { denseIds } from "../embedding/webgpu.ts";

const WORKGROUP = 64;

const strided = (name: string): Program["params"] => [
  `${name}Offset:u32`,
  `${name}Batch:u32`,
  `${name}Token:u32`,
  `${name}Head:u32`,
];

const params: Program["params"] = [
  ...([
    "batch:u32",
    "length:u32",
    "keys:u32",
    "heads:u32",
    "segmentsOffset:u32",
    "yOffset:u32",
    "dyOffset:u32",
  ] as const),
  ...["q", "k", "v"].flatMap(strided),
  "logSumExpOffset:u32",
  "scale:f32",
];

/** WGSL that all programs share: rows of operands, and the first key that a query sees. */
const shared = (width: number, hasSegments: boolean): string => `
${["q", "k", "v"]
  .map(
    (name) => `fn ${name}Row(b: u32, t: u32, h: u32) -> u32 {
  return p.${name}Offset + b * p.${name}Batch + t * p.${name}Token + h * p.${name}Head;
}`,
  )
  .join("\n")}
fn denseRow(tokens: u32, b: u32, t: u32, h: u32) -> u32 { return ((b * tokens + t) * p.heads + h) * ${width}u; }
fn segmentOf(b: u32, t: u32) -> i32 { return ${hasSegments ? "segmentIds[p.segmentsOffset + b * p.keys + t]" : "0"}; }
fn firstKey(b: u32, own: u32) -> u32 {
  ${
    hasSegments
      ? `let segment = segmentOf(b, own);
  if (segment < 0) { return own + 1u; }
  var first = own;
  while (first > 0u && segmentOf(b, first - 1u) == segment) { first -= 1u; }
  return first;`
      : "return 0u;"
  }
}
fn product(at: u32, key: u32) -> f32 {
  var sum = 0.0;
  for (var c = 0u; c < ${width}u; c++) { sum = fma(q[at + c], k[key + c], sum); }
  return sum * p.scale;
}`;

const queryStart = `
  if (index >= p.batch * p.heads * p.length) { return; }
  let i = index % p.length;
  let h = (index / p.length) % p.heads;
  let b = index / (p.length * p.heads);
  let own = p.keys - p.length + i;
  let at = qRow(b, i, h);`;

function program(
  name: string,
  width: number,
  hasSegments: boolean,
  reads: readonly string[],
  writes: readonly string[],
  body: () => string,
): Program {
  return programNamed(`${name} ${width}${hasSegments ? " segments" : ""}`, () => ({
    bindings: [
      ...reads.map((one) => ({ name: one, type: "f32" as const })),
      ...(hasSegments ? [{ name: "segmentIds", type: "i32" as const }] : []),
      ...writes.map((one) => ({ name: one, type: "f32" as const, write: true })),
    ],
    params,
    workgroup: WORKGROUP,
    declarations: wgslMath("exp", "log") + (reads.includes("q") ? shared(width, hasSegments) : ""),
    body: body(),
  }));
}

/** A thread works out one query: running maximum, sum and mixture of values. */
const forward = (width: number, hasSegments: boolean): Program =>
  program(
    "attention",
    width,
    hasSegments,
    ["q", "k", "v"],
    ["y", "logSumExp"],
    () => `${queryStart}
  var mixed: array<f32, ${width}>;
  var most = -3.4e38;
  var total = 0.0;
  for (var key = firstKey(b, own); key <= own; key++) {
    let score = product(at, kRow(b, key, h));
    let next = max(most, score);
    let kept = expOf(most - next);
    let weight = expOf(score - next);
    total = fma(total, kept, weight);
    let value = vRow(b, key, h);
    for (var c = 0u; c < ${width}u; c++) { mixed[c] = fma(mixed[c], kept, weight * v[value + c]); }
    most = next;
  }
  let to = p.yOffset + denseRow(p.length, b, i, h);
  for (var c = 0u; c < ${width}u; c++) { y[to + c] = select(0.0, mixed[c] / total, total > 0.0); }
  logSumExp[p.logSumExpOffset + index] = select(0.0, most + logOf(total), total > 0.0);`,
  );

/** dy . y of each query. */
const pullProgram = (width: number): Program =>
  program(
    "attention pull",
    width,
    false,
    ["y", "dy"],
    ["pull"],
    () => `
  if (index >= p.batch * p.heads * p.length) { return; }
  let i = index % p.length;
  let h = (index / p.length) % p.heads;
  let b = index / (p.length * p.heads);
  let row = ((b * p.length + i) * p.heads + h) * ${width}u;
  var sum = 0.0;
  for (var c = 0u; c < ${width}u; c++) { sum = fma(y[p.yOffset + row + c], dy[p.dyOffset + row + c], sum); }
  pull[index] = sum;`,
  );

const queryProgram = (width: number, hasSegments: boolean): Program =>
  program(
    "attention dq",
    width,
    hasSegments,
    ["q", "k", "v", "logSumExp", "dy", "pull"],
    ["dq"],
    () => `${queryStart}
  var sum: array<f32, ${width}>;
  let row = denseRow(p.length, b, i, h);
  for (var key = firstKey(b, own); key <= own; key++) {
    let place = kRow(b, key, h);
    let value = vRow(b, key, h);
    let weight = expOf(product(at, place) - logSumExp[p.logSumExpOffset + index]);
    var dweight = 0.0;
    for (var c = 0u; c < ${width}u; c++) { dweight = fma(dy[p.dyOffset + row + c], v[value + c], dweight); }
    let dscore = weight * (dweight - pull[index]) * p.scale;
    for (var c = 0u; c < ${width}u; c++) { sum[c] = fma(dscore, k[place + c], sum[c]); }
  }
  for (var c = 0u; c < ${width}u; c++) { dq[row + c] = sum[c]; }`,
  );

/** A thread works out one key: what all queries that see it give it. dk lies before dv. */
const keyProgram = (width: number, hasSegments: boolean): Program =>
  program(
    "attention dk dv",
    width,
    hasSegments,
    ["q", "k", "v", "logSumExp", "dy", "pull"],
    ["dkv"],
    () => `
  if (index >= p.batch * p.heads * p.keys) { return; }
  let key = index % p.keys;
  let h = (index / p.keys) % p.heads;
  let b = index / (p.keys * p.heads);
  let place = kRow(b, key, h);
  let value = vRow(b, key, h);
  let segment = segmentOf(b, key);
  var ofKey: array<f32, ${width}>;
  var ofValue: array<f32, ${width}>;
  let before = p.keys - p.length;
  let first = select(0u, key - before, key > before);
  for (var i = first; i < p.length && segment >= 0; i++) {
    if (segmentOf(b, before + i) != segment) { break; }
    let at = qRow(b, i, h);
    let query = (b * p.heads + h) * p.length + i;
    let row = denseRow(p.length, b, i, h);
    let weight = expOf(product(at, place) - logSumExp[p.logSumExpOffset + query]);
    var dweight = 0.0;
    for (var c = 0u; c < ${width}u; c++) { dweight = fma(dy[p.dyOffset + row + c], v[value + c], dweight); }
    let dscore = weight * (dweight - pull[query]) * p.scale;
    for (var c = 0u; c < ${width}u; c++) {
      ofKey[c] = fma(dscore, q[at + c], ofKey[c]);
      ofValue[c] = fma(weight, dy[p.dyOffset + row + c], ofValue[c]);
    }
  }
  let to = denseRow(p.keys, b, key, h);
  let half = p.batch * p.keys * p.heads * ${width}u;
  for (var c = 0u; c < ${width}u; c++) { dkv[to + c] = ofKey[c]; dkv[half + to + c] = ofValue[c]; }`,
  );

const splitProgram: Program = {
  name: "attention split",
  bindings: [
    { name: "both", type: "f32" },
    { name: "dk", type: "f32", write: true },
    { name: "dv", type: "f32", write: true },
  ],
  params: ["count:u32", "dkOffset:u32", "dvOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  dk[p.dkOffset + index] = both[index];
  dv[p.dvOffset + index] = both[p.count + index];`,
};

function prepare(
  context: WebgpuKernelContext,
  { inputs, axes, params: given }: KernelCall,
): { bound: Record<string, Bound>; values: Record<string, number>; hasSegments: boolean; width: number } {
  const bound: Record<string, Bound> = {};
  const values: Record<string, number> = {
    scale: given["scale"] as number,
    yOffset: 0,
    dyOffset: 0,
    logSumExpOffset: 0,
  };
  for (const axis of ["batch", "length", "keys", "heads"]) values[axis] = axes[axis]!;
  for (const name of ["q", "k", "v"]) {
    const operand = inputs[name]!;
    bound[name] = operand;
    values[`${name}Offset`] = operand.offset;
    ["Batch", "Token", "Head"].forEach((axis, i) => {
      values[`${name}${axis}`] = operand.strides[i]!;
    });
  }
  for (const name of ["y", "dy", "logSumExp"]) {
    const operand = inputs[name];
    if (!operand) continue;
    bound[name] = operand;
    values[`${name}Offset`] = operand.offset;
  }
  const ids = inputs["segmentIds"] && denseIds(context, inputs["segmentIds"]);
  if (ids) bound["segmentIds"] = ids.bound;
  values["segmentsOffset"] = ids?.offset ?? 0;
  return { bound, values, hasSegments: ids !== undefined, width: axes["width"]! };
}

function run(
  context: WebgpuKernelContext,
  own: Program,
  bound: Readonly<Record<string, Bound>>,
  values: Readonly<Record<string, number>>,
  threads: number,
): void {
  const operands = own.bindings.map(({ name }) => bound[name]!);
  context.dispatch(own, operands, values, Math.ceil(threads / WORKGROUP));
}

const attention: WebgpuKernel = (context, call) => {
  const { y, logSumExp } = call.outputs;
  const { bound, values, hasSegments, width } = prepare(context, call);
  const own = { ...bound, y: y!, logSumExp: logSumExp! };
  run(context, forward(width, hasSegments), own, { ...values, yOffset: y!.offset }, logSumExp!.size);
};

const attentionBackward: WebgpuKernel = (context, call) => {
  const { dq, dk, dv } = call.outputs as Record<"dq" | "dk" | "dv", Tensor>;
  const { bound, values, hasSegments, width } = prepare(context, call);
  if (dk.size === 0) return;
  const queries = call.inputs["logSumExp"]!.size;
  const both = context.scratch(8 * dk.size);
  const own = { ...bound, pull: context.scratch(4 * Math.max(1, queries)), dq, dkv: both };
  run(context, pullProgram(width), own, values, queries);
  run(context, queryProgram(width, hasSegments), own, values, queries);
  run(context, keyProgram(width, hasSegments), own, values, dk.size / width);
  const params = { count: dk.size, dkOffset: dk.offset, dvOffset: dv.offset };
  context.dispatch(splitProgram, [both, dk, dv], params, Math.ceil(dk.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const attentionWebgpu = { attention, attentionBackward } as const satisfies Record<string, WebgpuKernel>;
