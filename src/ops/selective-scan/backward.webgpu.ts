import type { Bound, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { invariant } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { sumRows } from "../reduce/webgpu.ts";
import { lanesProgram, lanesShape } from "./backward-lanes.webgpu.ts";
import { type BackwardShape, perChannel, perRow, perState, perStep, sweepInputs } from "./backward-shape.webgpu.ts";
import { backwardShape, sweepProgram } from "./backward-sweep.webgpu.ts";
import { encodeCarry } from "./carry.webgpu.ts";
import { CHUNK } from "./chunk.ts";
import { encodeLocal } from "./local.webgpu.ts";
import { placeOperands } from "./operands.webgpu.ts";
import { markSegments, type Pieces, piecesOf, variantOf } from "./pieces.webgpu.ts";

/** Where sums of pieces and tiles lie in one buffer, in elements, as `NAMEAt`. */
interface Partials {
  readonly bound: Bound;
  readonly at: Readonly<Record<string, number>>;
}

function makePartials(
  context: WebgpuKernelContext,
  outputs: Readonly<Record<string, Tensor>>,
  pieces: Pieces,
  { states, sums }: BackwardShape,
): Partials {
  const at: Record<string, number> = {};
  let size = 0;
  const add = (name: string, count: number): void => {
    at[`${name}At`] = size;
    if (outputs[name]) size += count;
  };
  const rows = pieces.batch * pieces.pieces * pieces.channels;
  for (const name of perState) add(name, rows * states);
  for (const name of perChannel) add(name, rows);
  for (const name of perStep) add(name, sums * pieces.batch * pieces.length * pieces.groups * states);
  return { bound: context.scratch(4 * Math.max(1, size)), at };
}

/** Gradients of {@link selectiveScanOp}: adjoints of pieces from zero, their carry from the last piece, and a sweep through each. */
export const selectiveScanBackward: WebgpuKernel = (context, call) => {
  const { inputs, outputs, axes } = call;
  const { batch, length, channels } = axes as Record<"batch" | "length" | "channels", number>;
  if (batch * length * channels === 0) return;
  const variant = variantOf(call);
  const pieces = piecesOf(call, CHUNK);
  invariant(pieces.pieces === axes["chunks"], "chunk states are not those of the scan's pieces");
  const memory = context.limits.maxComputeWorkgroupStorageSize;
  const lanes = lanesShape(variant.states, pieces.width, context.subgroupSize, memory);
  const shape = lanes ?? backwardShape(variant, pieces, memory);
  const marks = markSegments(context, call, variant, pieces);
  const adjoints = encodeLocal(context, inputs, variant, pieces, marks, true);
  const { dInitialState } = outputs;
  const first = dInitialState ?? context.scratch(4 * batch * channels * variant.states);
  const out = { bound: first, offset: dInitialState?.offset ?? 0 };
  encodeCarry(context, inputs, variant, pieces, adjoints, marks, out, true);
  const partials = makePartials(context, outputs, pieces, shape);
  const rows = perRow.filter((name) => outputs[name]);
  const others = 2 + (marks ? 1 : 0) + rows.length;
  const operands = placeOperands(context, inputs, sweepInputs, others);
  const isPacked = operands.bindings.length + others > context.limits.maxStorageBuffersPerShaderStage;
  const count = batch * length * channels;
  const results = isPacked ? [context.scratch(4 * count * rows.length)] : rows.map((name) => outputs[name]!);
  const places = rows.map((name, i) => [`${name}At`, isPacked ? i * count : outputs[name]!.offset] as const);
  const program = lanes
    ? lanesProgram(variant, operands, lanes, isPacked)
    : sweepProgram(variant, operands, shape, isPacked);
  context.dispatch(
    program,
    [...operands.bound, ...(marks ? [marks.ids] : []), adjoints.bound, partials.bound, ...results],
    {
      ...{ ...pieces, ...operands.values, ...partials.at, dzAt: 0, ...Object.fromEntries(places) },
      ...{ tiles: shape.tiles, idsOffset: marks?.idsOffset ?? 0 },
    },
    pieces.batch * pieces.pieces * pieces.groups * shape.tiles,
  );
  if (isPacked) {
    rows.forEach((name, i) => {
      context.copy(results[0]!, i * count, outputs[name]!, outputs[name]!.offset, count);
    });
  }
  addUp(context, outputs, pieces, shape, partials);
};

/** Sums over pieces and the batch what does not depend on time, and over tiles of channels what does not depend on them. */
function addUp(
  context: WebgpuKernelContext,
  outputs: Readonly<Record<string, Tensor>>,
  { batch, pieces }: Pieces,
  { sums }: BackwardShape,
  { bound, at }: Partials,
): void {
  const add = (name: string, rows: number): void => {
    const total = outputs[name];
    if (!total) return;
    const matrix = { bound, offset: at[`${name}At`]!, rowStride: total.size, columnStride: 1, batchStride: 0 };
    sumRows(context, matrix, rows, total);
  };
  for (const name of [...perState, ...perChannel]) add(name, batch * pieces);
  for (const name of perStep) add(name, sums);
}
