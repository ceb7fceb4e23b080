import type { GpuBinding, Program } from "../../backends/webgpu/index.ts";
import type { Operands } from "./operands.webgpu.ts";
import { pieceParams, rowType, type ScanVariant } from "./pieces.webgpu.ts";

/** Sums that a thread has over a piece: one a state, or one a channel. */
export const perState = ["dA", "dConstantB", "dConstantC"] as const;
export const perChannel = ["dD", "dDeltaBias"] as const;
/** What the channels of a tile give to B and C. */
export const perStep = ["dB", "dC"] as const;
export const perRow = ["du", "dDelta", "dz"] as const;

/** Inputs of the last phase of backward. */
export const sweepInputs = [
  ...["u", "delta", "z", "dy", "A", "D", "deltaBias", "B", "constantB", "C", "constantC"],
  ...["chunkStates", "dSegmentStates"],
] as const;

/** How the last phase is laid out: a workgroup takes `channels` channels through a piece, `steps` steps at a time. */
export interface BackwardShape {
  readonly states: number;
  readonly channels: number;
  readonly steps: number;
  /** Workgroups that share the channels of a group. */
  readonly tiles: number;
  /** Sums over channels that are left for each step. */
  readonly sums: number;
}

/**
 * What one dispatch of the last phase goes through: pieces of sequences that are `span` steps of each, from the step of time
 * `spanStart` on. Sums for B and C are of these steps only, so that long scans need no more of them at a time.
 */
export interface Range {
  readonly batchStart: number;
  readonly batches: number;
  readonly pieceStart: number;
  readonly pieceCount: number;
  readonly spanStart: number;
  readonly span: number;
}

export const rangeParams = [
  ...["batchStart:u32", "batches:u32", "pieceStart:u32", "pieceCount:u32", "spanStart:u32", "span:u32"],
] as Program["params"];

/** WGSL: the tile of channels, group of channels, piece and sequence that a workgroup takes. */
export const placeOfGroup = `
  let tile = group % p.tiles;
  let own = (group / p.tiles) % p.groups;
  let piece = p.pieceStart + (group / (p.tiles * p.groups)) % p.pieceCount;
  let b = p.batchStart + group / (p.tiles * p.groups * p.pieceCount);
  if (b >= p.batchStart + p.batches) { return; }`;

/** WGSL: the row of sums for B or C of a step. */
export const partialCode = `
fn partialRow(sum: u32, b: u32, i: u32, own: u32) -> u32 {
  return ((sum * p.batches + b - p.batchStart) * p.span + timeOf(i) - p.spanStart) * p.groups + own;
}`;

/** What programs of the last phase bind: `results` are what they write for each row. */
export function sweepBindings(
  variant: ScanVariant,
  operands: Operands,
  results: readonly string[],
  adjoints: "read" | "write" | "none" = "read",
): GpuBinding[] {
  const isPacked = results.includes("results");
  return [
    ...operands.bindings,
    ...(variant.has.has("segmentIds") ? [{ name: "ids", type: "i32" } as const] : []),
    ...(adjoints === "none" ? [] : [{ name: "adjoints", type: "f32", write: adjoints === "write" } as const]),
    { name: "partials", type: "f32", write: true },
    ...results.map((name) => ({ name, type: isPacked ? "f32" : rowType(variant), write: true }) as const),
  ];
}

export function sweepParams(operands: Operands): Program["params"] {
  return [
    ...pieceParams,
    ...operands.params,
    ...[...perState, ...perChannel, ...perStep, ...perRow].map((name) => `${name}At:u32` as const),
    ...rangeParams,
    ...(["tiles:u32", "idsOffset:u32"] as const),
  ];
}

/** WGSL: which steps begin another segment than that of the last step before them. */
export const segmentCuts = `
fn segmentBeforeStep(b: u32, i: u32) -> i32 {
  for (var k = i; k > 0u; k--) { let segment = segmentOf(b, k - 1u); if (segment >= 0) { return segment; } }
  return -1;
}
fn isCut(b: u32, i: u32, end: u32) -> bool {
  if (i >= end) { return false; }
  let segment = segmentOf(b, i);
  if (segment < 0) { return false; }
  let before = segmentBeforeStep(b, i);
  return before >= 0 && before != segment;
}`;
