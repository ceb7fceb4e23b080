import {
  type Bound,
  type GpuType,
  groupSum,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
} from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { rowsOf } from "../linear/webgpu.ts";
import { sumRows } from "../reduce/webgpu.ts";

const WORKGROUP = 64;
/** Rows whose weight gradients a workgroup adds up at most. */
const MOST_CHUNKS = 256;

/** Which optional operands a program has. */
type Options = Readonly<Record<string, boolean>>;

/** A binding of a norm's program: read by rows, read by channel, or written. */
export interface Operand {
  readonly name: string;
  readonly kind: "rows" | "channels" | "out";
  /** Left out of the program where the option is false. */
  readonly present: boolean;
}

/**
 * A program whose workgroups each work out one row, or one chunk of rows.
 *
 * @param make - its text, which the other arguments fix
 * @param isWide - channels are taken four at a time, wherever they are counted
 */
export function rowProgram(
  name: string,
  operands: readonly Operand[],
  params: Program["params"],
  make: () => Pick<Program, "declarations" | "body">,
  isWide = false,
): Program {
  const own = operands.filter(({ present }) => present);
  const key = own.map((operand) => operand.name).join(" ");
  const type = (operand: Operand): GpuType => (isWide && operand.name !== "factors" ? "vec4<f32>" : "f32");
  return programNamed(`${name} ${key}${isWide ? " by four" : ""}`, () => ({
    bindings: own.map((operand) => ({ name: operand.name, type: type(operand), write: operand.kind === "out" })),
    params: [
      ...(["rows:u32", "channels:u32"] as const),
      ...params,
      ...own.flatMap((operand) => [`${operand.name}Offset:u32`, `${operand.name}Row:u32`] as const),
    ],
    workgroup: WORKGROUP,
    ...make(),
  }));
}

/** Binds the operands that are there, rows in whatever way they lie. */
export function bindRows(
  context: WebgpuKernelContext,
  operands: readonly Operand[],
  tensors: Readonly<Record<string, Tensor | undefined>>,
): { bound: Bound[]; params: Record<string, number> } {
  const bound: Bound[] = [];
  const params: Record<string, number> = {};
  for (const { name, kind, present } of operands) {
    if (!present) continue;
    const tensor = tensors[name]!;
    const place =
      kind === "rows"
        ? rowsOf(context, tensor)
        : { bound: tensor, offset: tensor.offset, rowStride: kind === "out" ? tensor.shape.at(-1)! : 0 };
    bound.push(place.bound);
    params[`${name}Offset`] = place.offset;
    params[`${name}Row`] = place.rowStride;
  }
  return { bound, params };
}

/** WGSL: the walk of a workgroup's threads over the channels of a row. */
export const eachChannel = (body: string): string =>
  `for (var c = lane; c < p.channels; c += ${WORKGROUP}u) { ${body} }`;

/** WGSL: where a row of an operand begins. */
export const rowStart = (name: string): string => `(p.${name}Offset + row * p.${name}Row)`;

const forwardOperands = ({ weight, residual }: Options): Operand[] => [
  { name: "x", kind: "rows", present: true },
  { name: "weight", kind: "channels", present: weight! },
  { name: "residual", kind: "rows", present: residual! },
  { name: "y", kind: "out", present: true },
  { name: "sum", kind: "out", present: residual! },
];

/** WGSL of rows whose elements are taken one or four at a time: the type of such a group, and the sum of its elements. */
const elements = (isWide: boolean): string =>
  isWide
    ? `alias T = vec4<f32>;\nfn whole(v: T) -> f32 { return (v.x + v.y) + (v.z + v.w); }`
    : `alias T = f32;\nfn whole(v: T) -> f32 { return v; }`;

/** WGSL: channels of a row. */
const width = (isWide: boolean): string => `f32(p.channels${isWide ? " * 4u" : ""})`;

function forwardProgram(options: Options, isWide: boolean): Program {
  const value = `x[${rowStart("x")} + c]${options["residual"] ? ` + residual[${rowStart("residual")} + c]` : ""}`;
  return rowProgram(
    "rmsNorm",
    forwardOperands(options),
    ["epsilon:f32"],
    () => ({
      declarations: elements(isWide) + groupSum(WORKGROUP),
      body: `
  let row = min(group, p.rows - 1u);
  var squares = T();
  ${eachChannel(`let value = ${value}; squares += value * value;`)}
  let factor = 1.0 / sqrt(groupSum(lane, whole(squares)) / ${width(isWide)} + p.epsilon);
  if (group >= p.rows) { return; }
  ${eachChannel(`let value = ${value};
    ${options["residual"] ? `sum[${rowStart("sum")} + c] = value;` : ""}
    y[${rowStart("y")} + c] = value * factor${options["weight"] ? " * weight[p.weightOffset + c]" : ""};`)}`,
    }),
    isWide,
  );
}

const backwardOperands = ({ weight, dsum }: Options): Operand[] => [
  { name: "x", kind: "rows", present: true },
  { name: "weight", kind: "channels", present: weight! },
  { name: "dy", kind: "rows", present: true },
  { name: "dsum", kind: "rows", present: dsum! },
  { name: "dx", kind: "out", present: true },
  { name: "factors", kind: "out", present: true },
];

/** Each row's gradient of x, and its factor for the gradient of the weight. */
function backwardProgram(options: Options, isWide: boolean): Program {
  const scaled = `dy[${rowStart("dy")} + c]${options["weight"] ? " * weight[p.weightOffset + c]" : ""}`;
  return rowProgram(
    "rmsNormBackward",
    backwardOperands(options),
    ["epsilon:f32"],
    () => ({
      declarations: elements(isWide) + groupSum(WORKGROUP),
      body: `
  let row = min(group, p.rows - 1u);
  var squares = T();
  var products = T();
  ${eachChannel(`let value = x[${rowStart("x")} + c]; squares += value * value; products += value * ${scaled};`)}
  let factor = 1.0 / sqrt(groupSum(lane, whole(squares)) / ${width(isWide)} + p.epsilon);
  let pull = groupSum(lane, whole(products)) * factor * factor / ${width(isWide)};
  if (group >= p.rows) { return; }
  if (lane == 0u) { factors[row] = factor; }
  ${eachChannel(`
    let own = factor * (${scaled} - x[${rowStart("x")} + c] * pull);
    dx[${rowStart("dx")} + c] = own${options["dsum"] ? ` + dsum[${rowStart("dsum")} + c]` : ""};`)}`,
    }),
    isWide,
  );
}

const weightOperands: Operand[] = [
  { name: "x", kind: "rows", present: true },
  { name: "dy", kind: "rows", present: true },
  { name: "factors", kind: "out", present: true },
  { name: "partial", kind: "out", present: true },
];

/** Gradients of the weight, a row of partial sums per chunk of rows. */
const weightProgram = (isWide: boolean): Program =>
  rowProgram(
    "rmsNormWeightGradient",
    weightOperands,
    ["chunk:u32", "chunks:u32"],
    () => ({
      declarations: elements(isWide),
      body: `
  let blocks = (p.channels + ${WORKGROUP - 1}u) / ${WORKGROUP}u;
  let chunk = group / blocks;
  let c = (group % blocks) * ${WORKGROUP}u + lane;
  if (chunk >= p.chunks || c >= p.channels) { return; }
  var total = T();
  for (var row = chunk * p.chunk; row < min(p.rows, (chunk + 1u) * p.chunk); row++) {
    total += dy[${rowStart("dy")} + c] * x[${rowStart("x")} + c] * factors[row];
  }
  partial[chunk * p.channels + c] = total;`,
    }),
    isWide,
  );

/** Rows bound as they lie, and the values of the parameters that all programs have. */
interface Rows {
  readonly bound: Bound[];
  readonly values: Record<string, number>;
  /** Channels are taken four at a time: they come in such groups in every operand. */
  readonly isWide: boolean;
}

function rowsInGroups(
  context: WebgpuKernelContext,
  operands: readonly Operand[],
  tensors: Readonly<Record<string, Tensor | undefined>>,
  { rows, channels }: { rows: number; channels: number },
): Rows {
  const { bound, params } = bindRows(context, operands, tensors);
  const isWide = channels % 4 === 0 && Object.values(params).every((place) => place % 4 === 0);
  const unit = isWide ? 4 : 1;
  const places = Object.fromEntries(Object.entries(params).map(([name, place]) => [name, place / unit]));
  return { bound, values: { rows, channels: channels / unit, ...places }, isWide };
}

const rmsNorm: WebgpuKernel = (context, { inputs, outputs, params }) => {
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const options = { weight: inputs["weight"] !== undefined, residual: inputs["residual"] !== undefined };
  const channels = y.shape.at(-1)!;
  const rows = y.size / channels;
  const own = rowsInGroups(context, forwardOperands(options), { ...inputs, ...outputs }, { rows, channels });
  const values = { ...own.values, epsilon: params["epsilon"] as number };
  context.dispatch(forwardProgram(options, own.isWide), own.bound, values, rows);
};

const rmsNormBackward: WebgpuKernel = (context, { inputs, outputs, params }) => {
  const { dx, dweight } = outputs;
  if (dx!.size === 0) return;
  const options = { weight: inputs["weight"] !== undefined, dsum: inputs["dsum"] !== undefined };
  const channels = dx!.shape.at(-1)!;
  const rows = dx!.size / channels;
  const factors = context.scratch(4 * rows);
  const operands = backwardOperands(options).filter(({ name }) => name !== "factors");
  const own = rowsInGroups(context, operands, { ...inputs, ...outputs }, { rows, channels });
  const values = { ...own.values, epsilon: params["epsilon"] as number, factorsOffset: 0, factorsRow: 0 };
  context.dispatch(backwardProgram(options, own.isWide), [...own.bound, factors], values, rows);
  if (dweight) addWeightGradient(context, inputs, { rows, channels, factors }, dweight);
};

function addWeightGradient(
  context: WebgpuKernelContext,
  inputs: Readonly<Record<string, Tensor | undefined>>,
  { rows, channels, factors }: { rows: number; channels: number; factors: Bound },
  dweight: Tensor,
): void {
  const chunk = Math.max(32, Math.ceil(rows / MOST_CHUNKS));
  const chunks = Math.ceil(rows / chunk);
  const partial = context.scratch(4 * chunks * channels);
  const own = rowsInGroups(context, weightOperands.slice(0, 2), inputs, { rows, channels });
  const unused = { factorsOffset: 0, factorsRow: 0, partialOffset: 0, partialRow: 0 };
  const groups = chunks * Math.ceil(own.values["channels"]! / WORKGROUP);
  context.dispatch(
    weightProgram(own.isWide),
    [...own.bound, factors, partial],
    { ...own.values, chunk, chunks, ...unused },
    groups,
  );
  const matrix = { bound: partial, offset: 0, rowStride: channels, columnStride: 1, batchStride: 0 };
  sumRows(context, matrix, chunks, dweight);
}

/** WebGPU kernels of this folder. */
export const rmsNormWebgpu = { rmsNorm, rmsNormBackward } as const satisfies Record<string, WebgpuKernel>;
