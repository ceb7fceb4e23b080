import {
  type Bound,
  type Program,
  programNamed,
  type WebgpuKernelContext,
  wgslMath,
} from "../../backends/webgpu/index.ts";
import { type Operands, placeOperands } from "./operands.webgpu.ts";
import { element, type Pieces, pieceParams, type ScanVariant, type SegmentMarks, WORKGROUP } from "./pieces.webgpu.ts";

/** Pieces that a thread reads at a time, so that their loads overlap. */
const AHEAD = 8;

/** What the first phase leaves: of each piece the state that it makes of zero, [batch pieces state channels], then its sum of step sizes. */
export interface Locals {
  readonly bound: Bound;
  readonly sumsAt: number;
}

export function makeLocals(context: WebgpuKernelContext, { batch, pieces, channels }: Pieces, states: number): Locals {
  const rows = batch * pieces * channels;
  return { bound: context.scratch(4 * rows * (states + 1)), sumsAt: rows * states };
}

/**
 * The second phase: a thread carries one state over the pieces with (a1, b1) then (a2, b2) -> (a2 a1, a2 b1 + b2), and leaves in
 * place of each local state what comes into the piece. What leaves the last one goes to `out`.
 */
function carryProgram(states: number, backward: boolean, segments: boolean, operands: Operands): Program {
  return programNamed(
    `selectiveScan carry ${states}${backward ? " backward" : ""}${segments ? " segments" : ""} ${operands.key}`,
    () => {
      const has = (name: string): boolean => operands.bufferOf[name] !== undefined;
      const start = backward ? "dFinalState" : "initialState";
      const lastSegment = has("dSegmentStates")
        ? `
  var last = -1;
  for (var k = p.pieces; k > 0u && last < 0; k--) { last = ${segments ? "marks[3u * (b * p.pieces + k - 1u) + 1u]" : "0"}; }
  if (last >= 0 && u32(last) < p.segments) { h += ${element(operands, "dSegmentStates", "(b * p.segments + u32(last)) * p.channels + c", "n")}; }`
        : "";
      return {
        bindings: [
          ...operands.bindings,
          ...(segments ? [{ name: "marks", type: "i32" } as const] : []),
          { name: "locals", type: "f32", write: true },
          { name: "out", type: "f32", write: true },
        ],
        params: [...pieceParams, ...operands.params, "sumsAt:u32", "outOffset:u32"],
        workgroup: WORKGROUP,
        declarations: `${wgslMath("expm1")}
fn isCut(b: u32, piece: u32) -> bool {
  ${
    segments
      ? `
  let at = 3u * (b * p.pieces + piece);
  if (marks[at] < 0) { return false; }
  if (marks[at + 2u] != 0) { return true; }
  for (var k = piece; k > 0u; k--) {
    let last = marks[3u * (b * p.pieces + k - 1u) + 1u];
    if (last >= 0) { return last != marks[at]; }
  }`
      : ""
  }
  return false;
}`,
        body: `
  if (index >= p.batch * p.channels * ${states}u) { return; }
  let c = index % p.channels;
  let n = (index / p.channels) % ${states}u;
  let b = index / (${states}u * p.channels);
  let A = ${element(operands, "A", "c", "n")};
  var h = ${has(start) ? element(operands, start, "b * p.channels + c", "n") : "0.0"};
  ${lastSegment}
  var own: array<f32, ${AHEAD}>;
  var sums: array<f32, ${AHEAD}>;
  for (var first = 0u; first < p.pieces; first += ${AHEAD}u) {
    for (var j = 0u; j < ${AHEAD}u; j++) {
      let walked = min(first + j, p.pieces - 1u);
      let row = b * p.pieces + ${backward ? "p.pieces - 1u - walked" : "walked"};
      own[j] = locals[(row * ${states}u + n) * p.channels + c];
      sums[j] = locals[p.sumsAt + row * p.channels + c];
    }
    for (var j = 0u; j < ${AHEAD}u; j++) {
      if (first + j >= p.pieces) { break; }
      let piece = ${backward ? "p.pieces - 1u - first - j" : "first + j"};
      locals[((b * p.pieces + piece) * ${states}u + n) * p.channels + c] = h;
      if (isCut(b, piece)) { h = 0.0; }
      h = fma(expm1Of(A * sums[j]), h, h) + own[j];
    }
  }
  out[p.outOffset + (b * p.channels + c) * ${states}u + n] = h;`,
      };
    },
  );
}

/** Enqueues the second phase. `out` gets one dense state [batch channels state]. */
export function encodeCarry(
  context: WebgpuKernelContext,
  inputs: Parameters<typeof placeOperands>[1],
  { states }: ScanVariant,
  pieces: Pieces,
  locals: Locals,
  marks: SegmentMarks | undefined,
  out: { readonly bound: Bound; readonly offset: number },
  backward = false,
): void {
  const names = backward ? ["A", "dFinalState", "dSegmentStates"] : ["A", "initialState"];
  const operands = placeOperands(context, inputs, names, 3);
  const program = carryProgram(states, backward, marks !== undefined, operands);
  const bound = [...operands.bound, ...(marks ? [marks.marks] : []), locals.bound, out.bound];
  const values = { ...pieces, ...operands.values, sumsAt: locals.sumsAt, outOffset: out.offset };
  const threads = pieces.batch * pieces.channels * states;
  context.dispatch(program, bound, values, Math.ceil(threads / WORKGROUP));
}
