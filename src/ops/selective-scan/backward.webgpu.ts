import type { Bound, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { encodeCast } from "../cast/webgpu.ts";
import { lanesProgram, lanesShape } from "./backward-lanes.webgpu.ts";
import { perRow, type Range, sweepInputs } from "./backward-shape.webgpu.ts";
import { backwardShape, sweepProgram } from "./backward-sweep.webgpu.ts";
import { encodeCarry } from "./carry.webgpu.ts";
import { CHUNK } from "./chunk.ts";
import { encodeLocal } from "./local.webgpu.ts";
import { type Operands, placeOperands } from "./operands.webgpu.ts";
import { makePartials, mostSteps, type Partials, rangesOf, sumPieces, sumSteps } from "./partials.webgpu.ts";
import {
  markSegments,
  type Pieces,
  piecesOf,
  type ScanVariant,
  type SegmentMarks,
  variantOf,
} from "./pieces.webgpu.ts";
import { encodeSums } from "./sums.webgpu.ts";
import { type TileShape, tileShape } from "./tile.webgpu.ts";
import { backBytes, tileBackProgram } from "./tile-backward.webgpu.ts";
import { sumsOf } from "./tile-sums.webgpu.ts";

/** Workgroups of tiles that keep a large card busy, and how many are enough for sequences of up to {@link LONG} steps. */
const WANTED_GROUPS = 256;
const ENOUGH_GROUPS = 96;
const LONG = 8192;
/** Steps for which one dispatch takes less than three do, however few channels there are. */
const SHORT = 512;
const PIECE_LENGTHS = [1024, 512, 256, 128, 64];
/** Threads that the first phase should have. */
const WANTED_THREADS = 2 ** 17;
const TILE_COLUMNS = [64, 32];
const TILE_STEPS = 8;

/** How the last phase is done. */
interface Plan {
  readonly pieces: Pieces;
  /** Rows of sums for B and C. */
  readonly sums: number;
  /** Workgroups that share the channels of a group. */
  readonly tiles: number;
  /** Whether it takes whole sequences, so that no phase comes before it. */
  readonly isWhole: boolean;
  readonly program: (operands: Operands, isPacked: boolean) => ReturnType<typeof lanesProgram>;
}

/** Gradients of {@link selectiveScanOp}: adjoints of pieces from zero, their carry from the last piece, and a sweep through each. */
export const selectiveScanBackward: WebgpuKernel = (context, call) => {
  const { inputs, outputs, axes } = call;
  const { batch, length, channels } = axes as Record<"batch" | "length" | "channels", number>;
  if (batch * length * channels === 0) return;
  const given = variantOf(call);
  const variant = outputs["dInitialState"] ? { ...given, has: new Set([...given.has, "dInitialState"]) } : given;
  const plan = planOf(context, call, variant);
  const marks = markSegments(context, call, variant, plan.pieces);
  const adjoints = plan.isWhole ? outputs["dInitialState"] : carried(context, call, { variant, plan, marks });
  const names = plan.isWhole ? [...sweepInputs, "dFinalState"] : sweepInputs;
  const rows = perRow.filter((name) => outputs[name]);
  const others = 1 + (adjoints ? 1 : 0) + (marks ? 1 : 0) + rows.length;
  const operands = placeOperands(context, inputs, names, others, ["A", "B", "C"]);
  const isPacked = operands.bindings.length + others > context.limits.maxStorageBuffersPerShaderStage;
  const count = batch * length * channels;
  const results = isPacked ? [context.scratch(4 * count * rows.length)] : rows.map((name) => outputs[name]!);
  const places = rows.map((name, i) => [`${name}At`, isPacked ? i * count : outputs[name]!.offset] as const);
  const bound = [...operands.bound, ...(marks ? [marks.ids] : []), ...(adjoints ? [adjoints] : [])];
  const values = {
    ...{ ...plan.pieces, ...operands.values, dzAt: 0, ...Object.fromEntries(places), chunks: axes["chunks"]! },
    ...{ tiles: plan.tiles, idsOffset: marks?.idsOffset ?? 0, adjointsAt: outputs["dInitialState"]?.offset ?? 0 },
  };
  sweep(context, call, { variant, plan, program: plan.program(operands, isPacked), bound, results, values });
  if (!isPacked) return;
  rows.forEach((name, i) => {
    keepRows(context, results[0]!, i * count, outputs[name]!);
  });
};

interface Carrying {
  readonly variant: ScanVariant;
  readonly plan: Plan;
  readonly marks: SegmentMarks | undefined;
}

/** The phases before: what comes into each piece from the next. */
function carried(context: WebgpuKernelContext, call: KernelCall, { variant, plan, marks }: Carrying): Bound {
  const { inputs, outputs } = call;
  const { batch, channels } = plan.pieces;
  const adjoints = encodeLocal(context, inputs, variant, plan.pieces, marks, true);
  const { dInitialState } = outputs;
  const first = dInitialState ?? context.scratch(4 * batch * channels * variant.states);
  const out = { bound: first, offset: dInitialState?.offset ?? 0 };
  encodeCarry(context, inputs, variant, plan.pieces, adjoints, marks, out, true);
  return adjoints.bound;
}

interface Sweep {
  readonly variant: ScanVariant;
  readonly plan: Plan;
  readonly program: ReturnType<typeof lanesProgram>;
  readonly bound: readonly Bound[];
  readonly results: readonly Bound[];
  readonly values: Readonly<Record<string, number>>;
}

/** The last phase, in as many ranges as the sums for B and C ask for, and what they add up to. */
function sweep(context: WebgpuKernelContext, { outputs }: KernelCall, given: Sweep): void {
  const { variant, plan, program, bound, results, values } = given;
  const { pieces, tiles, sums } = plan;
  const ranges = rangesOf(pieces, variant, mostSteps(context, outputs, pieces, variant, sums));
  const partials: Partials = makePartials(context, outputs, pieces, variant, sums, ranges);
  ranges.forEach((range: Range, i) => {
    const own = { ...values, ...partials.at, ...range };
    const groups = range.batches * range.pieceCount * pieces.groups * tiles;
    context.dispatch(program, [...bound, partials.bound, ...results], own, groups);
    const isLast = i + 1 === ranges.length;
    const ofSteps = sumSteps(outputs, pieces, partials, sums, range);
    encodeSums(context, partials.bound, isLast ? [...ofSteps, ...sumPieces(outputs, pieces, partials)] : ofSteps);
  });
}

/** Results that were made in float32 side by side, each to its tensor. */
function keepRows(context: WebgpuKernelContext, from: Bound, offset: number, to: Tensor): void {
  if (to.dtype === "float32") {
    context.copy(from, offset, to, to.offset, to.size);
    return;
  }
  encodeCast(context, from, { dtype: "float32", shape: [to.size], strides: [1], offset }, to, to.dtype);
}

function planOf(context: WebgpuKernelContext, call: KernelCall, variant: ScanVariant): Plan {
  const { maxComputeWorkgroupStorageSize: memory } = context.limits;
  const tile = tilePlan(context, call, variant);
  if (tile) return tile;
  const pieces = piecesOf(call, CHUNK);
  const lanes = lanesShape(variant.states, pieces.width, context.subgroupSize, memory);
  const shape = lanes ?? backwardShape(variant, pieces, memory);
  const program = (operands: Operands, isPacked: boolean): ReturnType<typeof lanesProgram> =>
    lanes ? lanesProgram(variant, operands, lanes, isPacked) : sweepProgram(variant, operands, shape, isPacked);
  return { pieces, tiles: shape.tiles, sums: shape.sums, isWhole: false, program };
}

function tilePlan(context: WebgpuKernelContext, call: KernelCall, variant: ScanVariant): Plan | undefined {
  const shape = TILE_COLUMNS.flatMap((columns) => tileShape(variant, context, columns, TILE_STEPS) ?? []).find((one) =>
    isHeld(context, one),
  );
  if (!shape) return undefined;
  const { batch, length, groups, width, channels } = piecesOf(call, CHUNK);
  const tiles = Math.ceil(width / shape.channels);
  const sums = tiles * sumsOf(shape);
  const workgroups = batch * groups * tiles;
  const most = mostSteps(context, call.outputs, { groups }, variant, sums);
  const isFull = workgroups >= WANTED_GROUPS || (length <= LONG && workgroups >= ENOUGH_GROUPS);
  const isWhole = length <= SHORT || (isFull && length <= most);
  // over pieces, lanes of subgroups took less time on a card than tiles, except with rows in float16
  if (!isWhole && !variant.half) return undefined;
  const isRight = (steps: number): boolean =>
    steps <= most && batch * channels * Math.ceil(length / steps) >= WANTED_THREADS;
  const pieceLength = isWhole ? length : (PIECE_LENGTHS.find(isRight) ?? PIECE_LENGTHS.at(-1)!);
  const pieces = piecesOf(call, pieceLength);
  const program = (operands: Operands, isPacked: boolean): ReturnType<typeof lanesProgram> =>
    tileBackProgram(variant, operands, shape, isPacked, isWhole);
  return { pieces, tiles, sums, isWhole, program };
}

/** Whether a workgroup of that shape can be run. */
function isHeld({ limits }: WebgpuKernelContext, shape: TileShape): boolean {
  const isRun = shape.threads <= limits.maxComputeInvocationsPerWorkgroup && shape.columns % shape.subgroup === 0;
  return isRun && backBytes(shape) <= limits.maxComputeWorkgroupStorageSize;
}
