import { groupSum, type Program, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { sumRows } from "../reduce/webgpu.ts";
import { bindRows, eachChannel, type Operand, rowProgram, rowStart } from "../rms-norm/webgpu.ts";

const WORKGROUP = 64;
/** Chunks of rows whose gradients are added up apart, at most. */
const MOST_CHUNKS = 256;

type Given = Readonly<Record<string, Tensor | undefined>>;

const forwardOperands = ({ weight, bias, residual }: Given): Operand[] => [
  { name: "x", kind: "rows", present: true },
  { name: "weight", kind: "channels", present: weight !== undefined },
  { name: "bias", kind: "channels", present: bias !== undefined },
  { name: "residual", kind: "rows", present: residual !== undefined },
  { name: "y", kind: "out", present: true },
  { name: "sum", kind: "out", present: residual !== undefined },
];

/** Mean and 1 / deviation of a row whose elements are `value`. */
const statistics = (value: string): string => `
  let row = min(group, p.rows - 1u);
  var total = 0.0;
  ${eachChannel(`total += ${value};`)}
  let mean = groupSum(lane, total) / f32(p.channels);
  var squares = 0.0;
  ${eachChannel(`let off = ${value} - mean; squares += off * off;`)}
  let factor = 1.0 / sqrt(groupSum(lane, squares) / f32(p.channels) + p.epsilon);`;

function forwardProgram(given: Given): Program {
  const value = `(x[${rowStart("x")} + c]${given["residual"] ? ` + residual[${rowStart("residual")} + c]` : ""})`;
  const scale = given["weight"] ? " * weight[p.weightOffset + c]" : "";
  const shift = given["bias"] ? " + bias[p.biasOffset + c]" : "";
  return rowProgram("layerNorm", forwardOperands(given), ["epsilon:f32"], () => ({
    declarations: groupSum(WORKGROUP),
    body: `${statistics(value)}
  if (group >= p.rows) { return; }
  ${eachChannel(`let own = ${value};
    ${given["residual"] ? `sum[${rowStart("sum")} + c] = own;` : ""}
    y[${rowStart("y")} + c] = (own - mean) * factor${scale}${shift};`)}`,
  }));
}

const backwardOperands = ({ weight, dsum }: Given): Operand[] => [
  { name: "x", kind: "rows", present: true },
  { name: "weight", kind: "channels", present: weight !== undefined },
  { name: "dy", kind: "rows", present: true },
  { name: "dsum", kind: "rows", present: dsum !== undefined },
  { name: "dx", kind: "out", present: true },
  { name: "statistics", kind: "out", present: true },
];

/** Each row's gradient of x; mean and factor are kept for the gradients of weight and bias. */
function backwardProgram(given: Given): Program {
  const scaled = `dy[${rowStart("dy")} + c]${given["weight"] ? " * weight[p.weightOffset + c]" : ""}`;
  const unit = `(x[${rowStart("x")} + c] - mean) * factor`;
  return rowProgram("layerNormBackward", backwardOperands(given), ["epsilon:f32"], () => ({
    declarations: groupSum(WORKGROUP),
    body: `${statistics(`x[${rowStart("x")} + c]`)}
  var sums = 0.0;
  var products = 0.0;
  ${eachChannel(`sums += ${scaled}; products += ${unit} * ${scaled};`)}
  let shift = groupSum(lane, sums) / f32(p.channels);
  let pull = groupSum(lane, products) / f32(p.channels);
  if (group >= p.rows) { return; }
  if (lane == 0u) { statistics[2u * row] = mean; statistics[2u * row + 1u] = factor; }
  ${eachChannel(`
    let own = factor * (${scaled} - shift - ${unit} * pull);
    dx[${rowStart("dx")} + c] = own${given["dsum"] ? ` + dsum[${rowStart("dsum")} + c]` : ""};`)}`,
  }));
}

const weightOperands: Operand[] = [
  { name: "x", kind: "rows", present: true },
  { name: "dy", kind: "rows", present: true },
  { name: "statistics", kind: "out", present: true },
  { name: "partial", kind: "out", present: true },
];

/** Gradients of weight and bias, two rows of partial sums per chunk of rows. */
const weightProgram: Program = rowProgram(
  "layerNormWeightGradient",
  weightOperands,
  ["chunk:u32", "chunks:u32"],
  () => ({
    declarations: "",
    body: `
  let blocks = (p.channels + ${WORKGROUP - 1}u) / ${WORKGROUP}u;
  let chunk = group / blocks;
  let c = (group % blocks) * ${WORKGROUP}u + lane;
  if (chunk >= p.chunks || c >= p.channels) { return; }
  var ofWeight = 0.0;
  var ofBias = 0.0;
  for (var row = chunk * p.chunk; row < min(p.rows, (chunk + 1u) * p.chunk); row++) {
    let own = dy[${rowStart("dy")} + c];
    ofWeight += own * (x[${rowStart("x")} + c] - statistics[2u * row]) * statistics[2u * row + 1u];
    ofBias += own;
  }
  partial[chunk * p.channels + c] = ofWeight;
  partial[(p.chunks + chunk) * p.channels + c] = ofBias;`,
  }),
);

const layerNorm: WebgpuKernel = (context, { inputs, outputs, params }) => {
  const y = outputs["y"]!;
  if (y.size === 0) return;
  const { bound, params: places } = bindRows(context, forwardOperands(inputs), { ...inputs, ...outputs });
  const channels = y.shape.at(-1)!;
  const rows = y.size / channels;
  const values = { rows, channels, epsilon: params["epsilon"] as number, ...places };
  context.dispatch(forwardProgram(inputs), bound, values, rows);
};

const layerNormBackward: WebgpuKernel = (context, { inputs, outputs, params }) => {
  const { dx, dweight, dbias } = outputs;
  if (dx!.size === 0) return;
  const channels = dx!.shape.at(-1)!;
  const rows = dx!.size / channels;
  const statistics = context.scratch(8 * rows);
  const operands = backwardOperands(inputs).filter(({ name }) => name !== "statistics");
  const own = bindRows(context, operands, { ...inputs, ...outputs });
  const values = { rows, channels, epsilon: params["epsilon"] as number, statisticsOffset: 0, statisticsRow: 0 };
  context.dispatch(backwardProgram(inputs), [...own.bound, statistics], { ...values, ...own.params }, rows);
  if (!dweight && !dbias) return;
  const chunk = Math.max(32, Math.ceil(rows / MOST_CHUNKS));
  const chunks = Math.ceil(rows / chunk);
  const partial = context.scratch(8 * chunks * channels);
  const rowsIn = bindRows(context, weightOperands.slice(0, 2), inputs);
  const unused = { statisticsOffset: 0, statisticsRow: 0, partialOffset: 0, partialRow: 0 };
  context.dispatch(
    weightProgram,
    [...rowsIn.bound, statistics, partial],
    { rows, channels, chunk, chunks, ...unused, ...rowsIn.params },
    chunks * Math.ceil(channels / WORKGROUP),
  );
  const matrix = { bound: partial, offset: 0, rowStride: channels, columnStride: 1, batchStride: 0 };
  if (dweight) sumRows(context, matrix, chunks, dweight);
  if (dbias) sumRows(context, { ...matrix, offset: chunks * channels }, chunks, dbias);
};

/** WebGPU kernels of this folder. */
export const layerNormWebgpu = { layerNorm, layerNormBackward } as const satisfies Record<string, WebgpuKernel>;
