import type { Bound, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { fillPart } from "../movement/webgpu.ts";
import { selectiveScanBackward } from "./backward.webgpu.ts";
import { encodeCarry } from "./carry.webgpu.ts";
import { finalProgram } from "./final.webgpu.ts";
import { encodeLocal } from "./local.webgpu.ts";
import { placeOperands } from "./operands.webgpu.ts";
import {
  markSegments,
  type Pieces,
  piecesOf,
  type ScanVariant,
  type SegmentMarks,
  STAGED,
  variantOf,
  WORKGROUP,
} from "./pieces.webgpu.ts";
import { placeStates, stateOutputs } from "./states.webgpu.ts";
import { type TileShape, tileShape } from "./tile.webgpu.ts";
import { forwardBytes, tileProgram } from "./tile-forward.webgpu.ts";

/** Threads that fill a large card; a scan is cut finer until it has as many. */
const WANTED_THREADS = 2 ** 18;
const PIECE_LENGTHS = [256, 128, 64, 32];
/** Workgroups of tiles that keep a large card busy: with fewer, three phases took less time on one. */
const WANTED_GROUPS = 512;
/** Steps for which one dispatch takes less than three do, however few channels there are. */
const SHORT = 512;
const TILE_COLUMNS = [32, 16];
const TILE_STEPS = 8;

function pieceLengthOf({ axes }: KernelCall): number {
  const { batch, length, channels } = axes as Record<"batch" | "length" | "channels", number>;
  if (length <= 2 * STAGED) return 2 * STAGED;
  const isEnough = (steps: number): boolean => batch * channels * Math.ceil(length / steps) >= WANTED_THREADS;
  return PIECE_LENGTHS.find(isEnough) ?? PIECE_LENGTHS.at(-1)!;
}

/** Tiles that go through whole sequences, if enough can at the same time. */
function wholeShape(context: WebgpuKernelContext, call: KernelCall, variant: ScanVariant): TileShape | undefined {
  const { batch, length, groups, width } = piecesOf(call, 1);
  const { maxComputeWorkgroupStorageSize: memory } = context.limits;
  const shapes = TILE_COLUMNS.flatMap((columns) => tileShape(variant, context, columns, TILE_STEPS) ?? []);
  const held = shapes.filter((one) => forwardBytes(one) <= memory);
  const groupsOf = ({ channels }: TileShape): number => batch * groups * Math.ceil(width / channels);
  const [widest, shape] = [held[0], held.at(-1)];
  if (!widest || !shape) return undefined;
  if (groupsOf(widest) >= WANTED_GROUPS) return widest;
  return length <= SHORT ? shape : undefined;
}

const selectiveScan: WebgpuKernel = (context, call) => {
  const { inputs, outputs } = call;
  const { finalState } = outputs;
  if (finalState!.size === 0) return;
  const given = variantOf(call);
  const wantedStates = stateOutputs.filter((name) => outputs[name]);
  const variant = { ...given, has: new Set([...given.has, ...wantedStates]) };
  const shape = wholeShape(context, call, variant);
  if (shape) {
    encodeFinal(context, call, { variant, pieces: piecesOf(call, Math.max(1, call.axes["length"]!)), shape });
    return;
  }
  const pieces = piecesOf(call, pieceLengthOf(call));
  const marks = markSegments(context, call, variant, pieces);
  const isSingle = pieces.pieces === 1;
  let entries: Bound | undefined;
  if (!isSingle) {
    const locals = encodeLocal(context, inputs, variant, pieces, marks);
    encodeCarry(context, inputs, variant, pieces, locals, marks, { bound: finalState!, offset: finalState!.offset });
    entries = locals.bound;
  }
  encodeFinal(context, call, { variant, pieces, marks, entries });
};

interface FinalPhase {
  readonly variant: ScanVariant;
  readonly pieces: Pieces;
  readonly marks?: SegmentMarks | undefined;
  /** States that come into pieces; undefined if there is one piece. */
  readonly entries?: Bound | undefined;
  /** Of tiles, where they take whole sequences. */
  readonly shape?: TileShape;
}

function encodeFinal(context: WebgpuKernelContext, call: KernelCall, phase: FinalPhase): void {
  const { inputs, outputs, axes } = call;
  const { variant, pieces, marks, entries, shape } = phase;
  const names = ["u", "delta", "z", "A", "D", "deltaBias", "B", "constantB", "C", "constantC"];
  const wanted = stateOutputs.filter((name) => outputs[name] && (name !== "finalState" || !entries));
  const others = 1 + (marks ? 2 : 0) + (entries ? 1 : 0);
  const read = entries ? names : [...names, "initialState"];
  const operands = placeOperands(context, inputs, read, others + wanted.length, shape ? ["A", "B", "C"] : []);
  const isPacked = operands.bindings.length + others + wanted.length > context.limits.maxStorageBuffersPerShaderStage;
  const places = placeStates(context, call, wanted, isPacked);
  const program = shape
    ? tileProgram(variant, operands, places, shape)
    : finalProgram(variant, operands, places, !entries);
  const { y, segmentStates } = outputs;
  if (segmentStates) {
    // segments that do not occur leave no state
    const bound = places.bound[places.names.indexOf(places.bufferOf["segmentStates"]!)]!;
    fillPart(context, bound, places.values["segmentStatesAt"]!, segmentStates.size, 0);
  }
  const tiles = Math.ceil(pieces.width / (shape?.channels ?? WORKGROUP));
  const bound = [...operands.bound, ...(entries ? [entries] : []), ...(marks ? [marks.ids, marks.marks] : [])];
  const values = { ...pieces, ...operands.values, ...places.values, chunks: axes["chunks"]! };
  context.dispatch(
    program,
    [...bound, y!, ...places.bound],
    { ...values, idsOffset: marks?.idsOffset ?? 0, tiles, yOffset: y!.offset },
    pieces.batch * pieces.pieces * pieces.groups * tiles,
  );
  if (!isPacked) return;
  for (const name of wanted) {
    const out = outputs[name]!;
    context.copy(places.bound[0]!, places.values[`${name}At`]!, out, out.offset, out.size);
  }
}

/** WebGPU kernels of this folder. */
export const selectiveScanWebgpu = { selectiveScan, selectiveScanBackward } as const satisfies Record<
  string,
  WebgpuKernel
>;
