import type { GpuBinding, Program } from "../../backends/webgpu/index.ts";
import type { Operands } from "./operands.webgpu.ts";
import { pieceParams } from "./pieces.webgpu.ts";

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

/** What programs of the last phase bind: `results` are what they write for each row. */
export function sweepBindings(operands: Operands, ids: boolean, results: readonly string[]): GpuBinding[] {
  return [
    ...operands.bindings,
    ...(ids ? [{ name: "ids", type: "i32" } as const] : []),
    { name: "adjoints", type: "f32" },
    { name: "partials", type: "f32", write: true },
    ...results.map((name) => ({ name, type: "f32", write: true }) as const),
  ];
}

export function sweepParams(operands: Operands): Program["params"] {
  return [
    ...pieceParams,
    ...operands.params,
    ...[...perState, ...perChannel, ...perStep, ...perRow].map((name) => `${name}At:u32` as const),
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
