import {
  groupMax,
  groupSum,
  type Program,
  type WebgpuKernel,
  type WgslMath,
  wgslMath,
} from "../../backends/webgpu/index.ts";
import { rowsOf } from "../linear/webgpu.ts";

const WORKGROUP = 64;

/** A workgroup works out one line. */
function lines(
  name: string,
  inputs: readonly string[],
  math: readonly WgslMath[],
  reductions: string,
  body: string,
): Program {
  return {
    name,
    bindings: [
      ...inputs.map((input) => ({ name: input, type: "f32" as const })),
      { name: "out", type: "f32", write: true },
    ],
    params: [
      "rows:u32",
      "classes:u32",
      "outOffset:u32",
      ...inputs.flatMap((input) => [`${input}Offset:u32`, `${input}Row:u32`] as const),
    ],
    workgroup: WORKGROUP,
    declarations: wgslMath(...math) + reductions,
    body: `
  let row = min(group, p.rows - 1u);
  ${inputs.map((input) => `let ${input}At = p.${input}Offset + row * p.${input}Row;`).join("\n  ")}
  let outAt = p.outOffset + row * p.classes;
  ${body}`,
  };
}

const each = (body: string): string => `for (var c = lane; c < p.classes; c += ${WORKGROUP}u) { ${body} }`;

const logSumExp = `
  var most = -3.4e38;
  ${each("most = max(most, x[xAt + c]);")}
  let top = groupMax(lane, most);
  var part = 0.0;
  ${each("part += expOf(x[xAt + c] - top);")}
  let total = groupSum(lane, part);`;

const both = groupMax(WORKGROUP) + groupSum(WORKGROUP);

const programs = {
  softmax: lines(
    "softmax",
    ["x"],
    ["exp"],
    both,
    `${logSumExp}
  if (group < p.rows) { ${each("out[outAt + c] = expOf(x[xAt + c] - top) / total;")} }`,
  ),
  logSoftmax: lines(
    "logSoftmax",
    ["x"],
    ["exp", "log"],
    both,
    `${logSumExp}
  if (group < p.rows) { ${each("out[outAt + c] = x[xAt + c] - top - logOf(total);")} }`,
  ),
  softmaxBackward: lines(
    "softmaxBackward",
    ["y", "dy"],
    [],
    groupSum(WORKGROUP),
    `
  var part = 0.0;
  ${each("part += y[yAt + c] * dy[dyAt + c];")}
  let dot = groupSum(lane, part);
  if (group < p.rows) { ${each("out[outAt + c] = y[yAt + c] * (dy[dyAt + c] - dot);")} }`,
  ),
  logSoftmaxBackward: lines(
    "logSoftmaxBackward",
    ["y", "dy"],
    ["exp"],
    groupSum(WORKGROUP),
    `
  var part = 0.0;
  ${each("part += dy[dyAt + c];")}
  let total = groupSum(lane, part);
  if (group < p.rows) { ${each("out[outAt + c] = dy[dyAt + c] - expOf(y[yAt + c]) * total;")} }`,
  ),
};

const kernel: WebgpuKernel = (context, { op, inputs, outputs, axes }) => {
  const out = Object.values(outputs)[0]!;
  if (out.size === 0) return;
  const classes = axes["classes"]!;
  const rows = out.size / classes;
  const operands = Object.entries(inputs).map(([name, tensor]) => [name, rowsOf(context, tensor!)] as const);
  const params: Record<string, number> = { rows, classes, outOffset: out.offset };
  for (const [name, { offset, rowStride }] of operands) {
    params[`${name}Offset`] = offset;
    params[`${name}Row`] = rowStride;
  }
  const bound = [...operands.map(([, matrix]) => matrix.bound), out];
  context.dispatch(programs[op as keyof typeof programs], bound, params, rows);
};

/** WebGPU kernels of this folder. */
export const softmaxWebgpu = {
  softmax: kernel,
  softmaxBackward: kernel,
  logSoftmax: kernel,
  logSoftmaxBackward: kernel,
} as const satisfies Record<string, WebgpuKernel>;
