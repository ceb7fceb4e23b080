import type { WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import {
  mergeAxes,
  type Program,
  programNamed,
  type WgslMath,
  walkByFour,
  walkCode,
  walkParams,
  walkValues,
  wgslMath,
} from "../../backends/webgpu/index.ts";
import { broadcastStrides } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type BinaryName, binaryTable, type UnaryBackwardName, type UnaryName, unaryTable } from "./table.ts";

const WORKGROUP = 64;
/** Threads of a program that takes four elements a thread. */
const WIDE_WORKGROUP = 256;

/** y of x; dx of x, y and dy; and the functions that they call. */
type Row = readonly [value: string, gradient: string, ...math: WgslMath[]];

const unaryRows: Record<UnaryName, Row> = {
  neg: ["-x", "-dy"],
  exp: ["expOf(x)", "dy * y", "exp"],
  expm1: ["expm1Of(x)", "dy * (y + 1.0)", "expm1"],
  log: ["logOf(x)", "dy / x", "log"],
  log1p: ["log1pOf(x)", "dy / (x + 1.0)", "log1p"],
  sqrt: ["sqrt(x)", "dy * 0.5 / y"],
  rsqrt: ["1.0 / sqrt(x)", "dy * y * -0.5 / x"],
  reciprocal: ["1.0 / x", "-(dy * y * y)"],
  abs: ["abs(x)", "dy * sign(x)"],
  square: ["x * x", "(x + x) * dy"],
  relu: ["max(x, 0.0)", "select(0.0, dy, x > 0.0)"],
  sigmoid: ["sigmoidOf(x)", "dy * y * (1.0 - y)", "sigmoid"],
  tanh: ["tanhOf(x)", "dy * (1.0 - y * y)", "tanh"],
  silu: ["x * sigmoidOf(x)", "dy * sigmoidOf(x) * fma(x, sigmoidOf(-x), 1.0)", "sigmoid"],
  softplus: ["softplusOf(x)", "dy * sigmoidOf(x)", "softplus", "sigmoid"],
  gelu: ["geluOf(x)", "dy * geluDerivative(x)", "gelu"],
  sin: ["turned(x, 0)", "dy * turned(x, 1)", "trigonometry"],
  cos: ["turned(x, 1)", "-(dy * turned(x, 0))", "trigonometry"],
  atan: ["atanOf(x)", "dy / fma(x, x, 1.0)", "atan"],
};

const binaryRows: Record<BinaryName, string> = {
  add: "a + b",
  sub: "a - b",
  mul: "a * b",
  div: "a / b",
  maximum: "max(a, b)",
  minimum: "min(a, b)",
  greaterEqual: "select(0.0, 1.0, a >= b)",
};

/** How a program walks over its operands. */
interface Walk {
  readonly rank: number;
  /** Four elements a thread. */
  readonly isWide: boolean;
}

function program(
  op: string,
  operands: readonly string[],
  { rank, isWide }: Walk,
  expression: string,
  math: WgslMath[],
): Program {
  return programNamed(`${op} rank ${rank}${isWide ? " by four" : ""}`, () => {
    const type = isWide ? "vec4<f32>" : "f32";
    const call = (part: string): string => `value(${operands.map((name) => `${name}${part}`).join(", ")})`;
    const out = isWide ? `vec4<f32>(${["x", "y", "z", "w"].map((part) => call(`.${part}`)).join(", ")})` : call("");
    return {
      bindings: [...operands.map((name) => ({ name: `${name}In`, type }) as const), { name: "out", type, write: true }],
      params: [...walkParams(operands, rank), "outOffset:u32"],
      workgroup: isWide ? WIDE_WORKGROUP : WORKGROUP,
      declarations: `${wgslMath(...math)}
fn value(${operands.map((name) => `${name}: f32`).join(", ")}) -> f32 { return ${expression}; }`,
      body: `
  if (index >= p.count) { return; }
  ${walkCode(operands, rank)}
  ${operands.map((name) => `let ${name} = ${name}In[${name}At];`).join("\n  ")}
  out[p.outOffset + index] = ${out};`,
    };
  });
}

function encode(
  context: WebgpuKernelContext,
  op: string,
  inputs: Readonly<Record<string, Tensor>>,
  y: Tensor,
  [expression, ...math]: readonly [string, ...WgslMath[]],
): void {
  if (y.size === 0) return;
  // only what the expression names is bound
  const operands = Object.keys(inputs).filter((name) => new RegExp(`\\b${name}\\b`).test(expression));
  const tensors = operands.map((name) => inputs[name]!);
  const merged = mergeAxes(
    y.shape,
    tensors.map(({ shape, strides }) => broadcastStrides(shape, strides, y.shape)),
  );
  const offsets = tensors.map(({ offset }) => offset);
  const wide = y.offset % 4 === 0 ? walkByFour(merged, offsets) : undefined;
  const walk = { rank: merged.sizes.length, isWide: wide !== undefined };
  const params = walkValues(operands, wide?.offsets ?? offsets, wide?.merged ?? merged);
  params["outOffset"] = y.offset / (wide ? 4 : 1);
  const own = program(op, operands, walk, expression, math);
  const groups = Math.ceil(params["count"]! / (wide ? WIDE_WORKGROUP : WORKGROUP));
  context.dispatch(own, [...tensors, y], params, groups);
}

const unary: WebgpuKernel = (context, { op, inputs, outputs }) => {
  const [value, , ...math] = unaryRows[op as UnaryName];
  encode(context, op, { x: inputs["x"]! }, outputs["y"]!, [value, ...math]);
};

const unaryBackward: WebgpuKernel = (context, { op, inputs, outputs }) => {
  const [, gradient, ...math] = unaryRows[op.replace(/Backward$/, "") as UnaryName];
  const operands = { x: inputs["x"]!, y: inputs["y"]!, dy: inputs["dy"]! };
  encode(context, op, operands, outputs["dx"]!, [gradient, ...math]);
};

const binary: WebgpuKernel = (context, { op, inputs, outputs }) => {
  encode(context, op, { a: inputs["a"]!, b: inputs["b"]! }, outputs["y"]!, [binaryRows[op as BinaryName]]);
};

function table<Name extends string>(names: readonly Name[], kernel: WebgpuKernel): Record<Name, WebgpuKernel> {
  return Object.fromEntries(names.map((name) => [name, kernel])) as Record<Name, WebgpuKernel>;
}

const unaryNames = Object.keys(unaryTable) as UnaryName[];

/** WebGPU kernels of all rows and their gradients. */
export const elementwiseWebgpu = {
  ...table(unaryNames, unary),
  ...table(
    unaryNames.map((name): UnaryBackwardName => `${name}Backward`),
    unaryBackward,
  ),
  ...table(Object.keys(binaryTable) as BinaryName[], binary),
} as const satisfies Record<string, WebgpuKernel>;
