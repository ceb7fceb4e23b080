import {
  type Bound,
  type GpuBinding,
  type Program,
  type WebgpuKernel,
  type WebgpuKernelContext,
  wgslMath,
} from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { denseIds } from "../embedding/webgpu.ts";
import { denseCopy } from "../movement/webgpu.ts";
import { sumRows } from "../reduce/webgpu.ts";

const WORKGROUP = 64;
/** Steps whose weight gradients one thread adds up. */
const CHUNK = 64;

/** What a program of this folder is made for. */
interface Variant {
  readonly window: number;
  readonly silu: boolean;
  readonly reverse: boolean;
  /** Optional operands that are there. */
  readonly has: ReadonlySet<string>;
}

const sizes = [
  "count:u32",
  "batch:u32",
  "length:u32",
  "channels:u32",
  "xOffset:u32",
  "xBatch:u32",
  "xTime:u32",
] as const;
const weights = ["weightOffset:u32", "weightRow:u32", "biasOffset:u32"] as const;
const places = ["segmentsOffset:u32", "initialOffset:u32", "dyOffset:u32", "dFinalOffset:u32"] as const;
const params: Program["params"] = [...sizes, ...weights, ...places, "chunks:u32"];

/** WGSL: time of the i-th step, and its segment; -1 is padding. */
const timeCode = ({ reverse, has }: Variant): string => `
fn timeOf(i: u32) -> u32 { return ${reverse ? "p.length - 1u - i" : "i"}; }
fn segmentOf(b: u32, i: u32) -> i32 { return ${has.has("segmentIds") ? "segmentIds[p.segmentsOffset + b * p.length + timeOf(i)]" : "0"}; }`;

/**
 * WGSL: `fillBack(b, i, c, segment)` leaves the samples before the i-th step in `history`, oldest first: those before of its segment, and for the
 * first segment those of the state.
 */
const historyCode = ({ window, has }: Variant): string => `
var<private> history: array<f32, ${window}>;
fn sampleAt(b: u32, i: u32, c: u32) -> f32 { return x[p.xOffset + b * p.xBatch + timeOf(i) * p.xTime + c]; }
fn fillBack(b: u32, from_step: u32, c: u32, segment: i32) {
  var need = ${window - 1}u;
  var j = from_step;
  var own = segment;
  for (var k = 0u; k < ${window - 1}u; k++) { history[k] = 0.0; }
  while (need > 0u) {
    if (j == 0u) {
      ${has.has("initialState") ? `for (var r = 0u; r < need; r++) { history[r] = initialState[p.initialOffset + (b * ${window - 1}u + r + ${window - 1}u - need) * p.channels + c]; }` : ""}
      break;
    }
    j -= 1u;
    let other = segmentOf(b, j);
    if (other < 0) { continue; }
    if (own >= 0 && other != own) { break; }
    own = other;
    need -= 1u;
    history[need] = sampleAt(b, j, c);
  }
}`;

const valueCode = ({ window, has }: Variant): string => `
fn weighted(c: u32) -> f32 {
  var sum = ${has.has("bias") ? "bias[p.biasOffset + c]" : "0.0"};
  for (var k = 0u; k < ${window}u; k++) { sum += weight[p.weightOffset + c * p.weightRow + k] * history[k]; }
  return sum;
}`;

const readable: Readonly<Record<string, GpuBinding>> = {
  x: { name: "x", type: "f32" },
  weight: { name: "weight", type: "f32" },
  bias: { name: "bias", type: "f32" },
  initialState: { name: "initialState", type: "f32" },
  segmentIds: { name: "segmentIds", type: "i32" },
  dy: { name: "dy", type: "f32" },
  dFinalState: { name: "dFinalState", type: "f32" },
  ds: { name: "ds", type: "f32" },
};

const required = new Set(["x", "weight", "ds"]);

function program(
  name: string,
  variant: Variant,
  reads: readonly string[],
  writes: readonly string[],
  declarations: string,
  body: string,
): Program {
  const own = reads.filter((one) => required.has(one) || variant.has.has(one));
  const { window, silu, reverse } = variant;
  return {
    name: `${name} ${window}${silu ? " silu" : ""}${reverse ? " reverse" : ""} ${own.join(" ")}`,
    bindings: [
      ...own.map((one) => readable[one]!),
      ...writes.map((one) => ({ name: one, type: "f32" as const, write: true })),
    ],
    params,
    workgroup: WORKGROUP,
    declarations,
    body,
  };
}

const step = `
  if (index >= p.count) { return; }
  let c = index % p.channels;
  let i = (index / p.channels) % p.length;
  let b = index / (p.channels * p.length);`;

const outAt = "(b * p.length + timeOf(i)) * p.channels + c";

const forward = (variant: Variant): Program =>
  program(
    "causalConv",
    variant,
    ["x", "weight", "bias", "initialState", "segmentIds"],
    ["y"],
    wgslMath("sigmoid") + timeCode(variant) + historyCode(variant) + valueCode(variant),
    `${step}
  let segment = segmentOf(b, i);
  var value = 0.0;
  if (segment >= 0) {
    fillBack(b, i, c, segment);
    history[${variant.window - 1}] = sampleAt(b, i, c);
    let s = weighted(c);
    value = ${variant.silu ? "s * sigmoidOf(s)" : "s"};
  }
  y[${outAt}] = value;`,
  );

/** A thread for each sample of the state that is left. */
const finalProgram = (variant: Variant): Program =>
  program(
    "causalConv final",
    variant,
    ["x", "initialState", "segmentIds"],
    ["finalState"],
    timeCode(variant) + historyCode(variant),
    `
  if (index >= p.batch * p.channels) { return; }
  let c = index % p.channels;
  let b = index / p.channels;
  fillBack(b, p.length, c, -1);
  for (var k = 0u; k < ${variant.window - 1}u; k++) { finalState[(b * ${variant.window - 1}u + k) * p.channels + c] = history[k]; }`,
  );

/** Gradient of the value before the activation, at every step. */
const slopeProgram = (variant: Variant): Program =>
  program(
    "causalConv slope",
    variant,
    ["x", "weight", "bias", "initialState", "segmentIds", "dy"],
    ["ds"],
    wgslMath("sigmoid") + timeCode(variant) + historyCode(variant) + valueCode(variant),
    `${step}
  let segment = segmentOf(b, i);
  var value = 0.0;
  if (segment >= 0) {
    fillBack(b, i, c, segment);
    history[${variant.window - 1}] = sampleAt(b, i, c);
    let s = weighted(c);
    let slope = ${variant.silu ? "sigmoidOf(s) * fma(s, sigmoidOf(-s), 1.0)" : "1.0"};
    value = ${variant.has.has("dy") ? `dy[p.dyOffset + ${outAt}] * slope` : "0.0 * slope"};
  }
  ds[${outAt}] = value;`,
  );

/** WGSL: what a sample of a segment gives to the `taken` steps from `from_step` on and to the final state. */
const forwardWalk = ({ window, has }: Variant): string => `
fn weightAt(c: u32, k: u32) -> f32 { return weight[p.weightOffset + c * p.weightRow + k]; }
fn given(b: u32, from_step: u32, c: u32, segment: i32, first_tap: u32) -> f32 {
  var sum = 0.0;
  var tap = first_tap;
  var own = segment;
  for (var j = from_step; j < p.length; j++) {
    let other = segmentOf(b, j);
    if (other < 0) { continue; }
    if (own >= 0 && other != own) { return sum; }
    own = other;
    sum += weightAt(c, tap) * ds[(b * p.length + timeOf(j)) * p.channels + c];
    if (tap == 0u) { return sum; }
    tap -= 1u;
  }
  ${has.has("dFinalState") ? `if (tap < ${window - 1}u) { sum += dFinalState[p.dFinalOffset + (b * ${window - 1}u + tap) * p.channels + c]; }` : ""}
  return sum;
}`;

const inputProgram = (variant: Variant): Program =>
  program(
    "causalConv dx",
    variant,
    ["weight", "segmentIds", "dFinalState", "ds"],
    ["dx"],
    timeCode(variant) + forwardWalk(variant),
    `${step}
  let segment = segmentOf(b, i);
  var value = 0.0;
  if (segment >= 0) { value = given(b, i, c, segment, ${variant.window - 1}u); }
  dx[${outAt}] = value;`,
  );

const initialProgram = (variant: Variant): Program =>
  program(
    "causalConv dInitialState",
    variant,
    ["weight", "segmentIds", "dFinalState", "ds"],
    ["dInitialState"],
    timeCode(variant) + forwardWalk(variant),
    `
  if (index >= p.batch * ${variant.window - 1}u * p.channels) { return; }
  let c = index % p.channels;
  let k = (index / p.channels) % ${variant.window - 1}u;
  let b = index / (p.channels * ${variant.window - 1}u);
  dInitialState[index] = given(b, 0u, c, -1, k);`,
  );

/** Partial sums of the gradients of weight and bias: rows of window + 1 numbers a channel, one row per chunk of steps. */
const weightProgram = (variant: Variant): Program =>
  program(
    "causalConv dWeight",
    variant,
    ["x", "initialState", "segmentIds", "ds"],
    ["partial"],
    timeCode(variant) + historyCode(variant),
    `
  if (index >= p.chunks * p.channels) { return; }
  let c = index % p.channels;
  let chunk = index / p.channels;
  var sums: array<f32, ${variant.window + 1}>;
  for (var row = chunk * ${CHUNK}u; row < min(p.batch * p.length, (chunk + 1u) * ${CHUNK}u); row++) {
    let b = row / p.length;
    let i = row % p.length;
    let segment = segmentOf(b, i);
    if (segment < 0) { continue; }
    let own = ds[${outAt}];
    fillBack(b, i, c, segment);
    history[${variant.window - 1}] = sampleAt(b, i, c);
    for (var k = 0u; k < ${variant.window}u; k++) { sums[k] += own * history[k]; }
    sums[${variant.window}] += own;
  }
  for (var k = 0u; k < ${variant.window + 1}u; k++) { partial[(chunk * ${variant.window + 1}u + k) * p.channels + c] = sums[k]; }`,
  );

const transposeProgram: Program = {
  name: "causalConv transpose",
  bindings: [
    { name: "sums", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["channels:u32", "window:u32", "outOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.channels * p.window) { return; }
  out[p.outOffset + index] = sums[(index % p.window) * p.channels + index / p.window];`,
};

/** Operands with their places; integer rows and states are made dense where they are not. */
function prepare(
  context: WebgpuKernelContext,
  { inputs, axes, params: given }: KernelCall,
): { variant: Variant; bound: Record<string, Bound>; values: Record<string, number> } {
  const { x, weight, bias, initialState, segmentIds, dy, dFinalState } = inputs;
  const has = new Set(Object.keys(inputs).filter((name) => inputs[name] !== undefined));
  const variant = {
    window: axes["window"]!,
    silu: given["activation"] === "silu",
    reverse: Boolean(given["reverse"]),
    has,
  };
  const bound: Record<string, Bound> = { x: x!, weight: weight! };
  const place = (name: string, tensor: Tensor | undefined): number => {
    if (!tensor) return 0;
    bound[name] = tensor.dense ? tensor : denseCopy(context, tensor);
    return tensor.dense ? tensor.offset : 0;
  };
  const ids = segmentIds && denseIds(context, segmentIds);
  if (ids) bound["segmentIds"] = ids.bound;
  const [batch, length, channels] = [axes["batch"]!, axes["length"]!, axes["channels"]!];
  const values = {
    ...{ count: batch * length * channels, batch, length, channels },
    ...{ xOffset: x!.offset, xBatch: x!.strides[0]!, xTime: x!.strides[1]! },
    ...{ weightOffset: weight!.offset, weightRow: weight!.strides[0]!, biasOffset: place("bias", bias) },
    ...{ segmentsOffset: ids?.offset ?? 0, initialOffset: place("initialState", initialState) },
    ...{ dyOffset: place("dy", dy), dFinalOffset: place("dFinalState", dFinalState) },
    chunks: Math.ceil((batch * length) / CHUNK),
  };
  return { variant, bound, values };
}

/** Runs a program with whatever of the operands it reads. */
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

const causalConv: WebgpuKernel = (context, call) => {
  const { variant, bound, values } = prepare(context, call);
  const { y, finalState } = call.outputs;
  run(context, forward(variant), { ...bound, y: y! }, values, values["count"]!);
  if (finalState!.size === 0) return;
  run(context, finalProgram(variant), { ...bound, finalState: finalState! }, values, finalState!.size);
};

const causalConvBackward: WebgpuKernel = (context, call) => {
  const { variant, bound, values } = prepare(context, call);
  const { dx, dWeight, dBias, dInitialState } = call.outputs;
  const { window } = variant;
  const channels = values["channels"]!;
  const count = values["count"]!;
  const own: Record<string, Bound> = { ...bound, ds: context.scratch(4 * Math.max(1, count)) };
  run(context, slopeProgram(variant), own, values, count);
  run(context, inputProgram(variant), { ...own, dx: dx! }, values, count);
  if (dInitialState && dInitialState.size > 0) {
    run(context, initialProgram(variant), { ...own, dInitialState }, values, dInitialState.size);
  }
  const chunks = values["chunks"]!;
  const columns = (window + 1) * channels;
  const partial = context.scratch(4 * Math.max(1, chunks * columns));
  run(context, weightProgram(variant), { ...own, partial }, values, chunks * channels);
  const sums = context.scratch(4 * columns);
  const matrix = { bound: partial, offset: 0, rowStride: columns, columnStride: 1, batchStride: 0 };
  sumRows(context, matrix, chunks, { bound: sums, offset: 0, size: columns });
  const shape = { channels, window, outOffset: dWeight!.offset };
  context.dispatch(transposeProgram, [sums, dWeight!], shape, Math.ceil((channels * window) / WORKGROUP));
  if (!dBias) return;
  const last = { bound: sums, offset: window * channels, rowStride: channels, columnStride: 1, batchStride: 0 };
  sumRows(context, last, 1, { bound: dBias, offset: dBias.offset, size: channels });
};

const updateProgram = (window: number, silu: boolean, hasBias: boolean): Program => ({
  name: `convUpdate ${window}${silu ? " silu" : ""}${hasBias ? " bias" : ""}`,
  bindings: [
    { name: "x", type: "f32" },
    { name: "weight", type: "f32" },
    ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
    { name: "state", type: "f32", write: true },
    { name: "y", type: "f32", write: true },
  ],
  params: [
    ...(["count:u32", "channels:u32", "xOffset:u32", "xRow:u32", "weightOffset:u32", "weightRow:u32"] as const),
    ...(["biasOffset:u32", "stateOffset:u32", "stateBatch:u32", "stateRow:u32"] as const),
  ],
  workgroup: WORKGROUP,
  declarations: wgslMath("sigmoid"),
  body: `
  if (index >= p.count) { return; }
  let b = index / p.channels;
  let c = index % p.channels;
  let fresh = x[p.xOffset + b * p.xRow + c];
  let row = p.weightOffset + c * p.weightRow;
  var sum = ${hasBias ? "bias[p.biasOffset + c]" : "0.0"} + weight[row + ${window - 1}u] * fresh;
  for (var k = 0u; k < ${window - 1}u; k++) {
    let place = p.stateOffset + b * p.stateBatch + k * p.stateRow + c;
    sum += weight[row + k] * state[place];
    if (k + 2u < ${window}u) { state[place] = state[place + p.stateRow]; } else { state[place] = fresh; }
  }
  y[index] = ${silu ? "sum * sigmoidOf(sum)" : "sum"};`,
});

const convUpdate: WebgpuKernel = (context, { inputs, outputs, axes, params: given }) => {
  const [x, weight, state, y] = [inputs["x"]!, inputs["weight"]!, inputs["state"]!, outputs["y"]!];
  const { bias } = inputs;
  if (y.size === 0) return;
  const own = updateProgram(axes["window"]!, given["activation"] === "silu", bias !== undefined);
  const values = {
    ...{ count: y.size, channels: axes["channels"]!, xOffset: x.offset, xRow: x.strides[0]! },
    ...{ weightOffset: weight.offset, weightRow: weight.strides[0]!, biasOffset: bias?.offset ?? 0 },
    ...{ stateOffset: state.offset, stateBatch: state.strides[0]!, stateRow: state.strides[1]! },
  };
  const bound = [x, weight, ...(bias ? [bias] : []), state, y];
  context.dispatch(own, bound, values, Math.ceil(y.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const causalConvWebgpu = {
  causalConv,
  causalConvBackward,
  convUpdate,
} as const satisfies Record<string, WebgpuKernel>;
