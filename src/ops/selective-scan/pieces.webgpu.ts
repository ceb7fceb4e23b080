import type { Bound, Program, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { denseIds } from "../embedding/webgpu.ts";
import type { Operands } from "./operands.webgpu.ts";

/** Threads of a workgroup that has one channel a thread. */
export const WORKGROUP = 32;
/** Steps whose B and C are staged in workgroup memory at a time. */
export const STAGED = 16;

/** What programs of the scan are made for. */
export interface ScanVariant {
  readonly states: number;
  readonly softplus: boolean;
  readonly reverse: boolean;
  /** Whether rows (u, delta, z, B, C, y and their gradients) are float16. */
  readonly half: boolean;
  /** Inputs that are there. */
  readonly has: ReadonlySet<string>;
}

/** How a scan is cut: each of `batch` sequences into `pieces` of `pieceLength` steps, the last perhaps shorter. */
export interface Pieces {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly groups: number;
  /** Channels of a group. */
  readonly width: number;
  readonly segments: number;
  readonly pieces: number;
  readonly pieceLength: number;
}

export const pieceParams: Program["params"] = [
  ...(["batch:u32", "length:u32", "channels:u32", "groups:u32", "width:u32"] as const),
  ...(["segments:u32", "pieces:u32", "pieceLength:u32"] as const),
];

export function variantOf({ inputs, axes, params }: KernelCall): ScanVariant {
  return {
    states: axes["state"]!,
    softplus: Boolean(params["deltaSoftplus"]),
    reverse: Boolean(params["reverse"]),
    half: inputs["u"]!.dtype === "float16",
    has: new Set(Object.keys(inputs).filter((name) => inputs[name] !== undefined)),
  };
}

export function piecesOf({ axes }: KernelCall, pieceLength: number): Pieces {
  const { batch, length, channels, groups = 1, segments = 0 } = axes as Record<string, number> & Pieces;
  const pieces = Math.max(1, Math.ceil(length / pieceLength));
  return { batch, length, channels, groups, width: channels / groups, segments, pieces, pieceLength };
}

/** A key that tells variants apart. */
export function variantName({ states, softplus, reverse, half, has }: ScanVariant, operands: Operands): string {
  const facts = [
    states,
    softplus ? "softplus" : "",
    half ? "half" : "",
    reverse ? "reverse" : "",
    has.has("segmentIds") ? "ids" : "",
  ];
  return [...facts, operands.key].filter(Boolean).join(" ");
}

/** Four states at a time; those past the last are zero. */
export function quadsOf(states: number): number {
  return Math.ceil(states / 4);
}

/** Statements for each quad of states. */
export function eachQuad(states: number, code: (quad: number) => string): string {
  return Array.from({ length: quadsOf(states) }, (_, quad) => code(quad)).join("\n");
}

/** WGSL of one element of an operand. */
export function element({ bufferOf, halves }: Operands, name: string, row: string, column: string): string {
  const stored = `${bufferOf[name]}[p.${name}Offset + (${row}) * p.${name}Row + ${column}]`;
  return halves.has(name) ? `f32(${stored})` : stored;
}

/** The type that rows are written in, and WGSL that makes it of a float32. */
export const rowType = ({ half }: ScanVariant): "f16" | "f32" => (half ? "f16" : "f32");
export const stored = ({ half }: ScanVariant, value: string): string => (half ? `f16(${value})` : value);

/** WGSL extensions of a program. */
export function extensions({ half }: ScanVariant, ...others: string[]): string[] {
  return half ? ["f16", ...others] : others;
}

/** WGSL of four neighbouring states of an operand, zero past the last state. */
export function quadOf(operands: Operands, name: string, row: string, quad: number, states: number): string {
  const parts = Array.from({ length: 4 }, (_, k) => {
    return 4 * quad + k < states ? element(operands, name, row, `${4 * quad + k}u`) : "0.0";
  });
  return `vec4<f32>(${parts.join(", ")})`;
}

/** The same of a quad below `quads` that is known only when the program runs. */
export function laneQuad(
  operands: Operands,
  name: string,
  row: string,
  quad: string,
  { states, quads }: { readonly states: number; readonly quads: number },
): string {
  if (operands.vectors.has(name)) {
    const at = (place: string): string =>
      `vec4<f32>(${operands.bufferOf[name]}[p.${name}Offset + (${row}) * p.${name}Row + ${place}])`;
    if (states === 4 * quads) return at(quad);
    return `select(vec4<f32>(), ${at(`min(${quad}, ${states / 4 - 1}u)`)}, ${quad} < ${states / 4}u)`;
  }
  const parts = Array.from({ length: 4 }, (_, k) =>
    states === 4 * quads
      ? element(operands, name, row, `4u * (${quad}) + ${k}u`)
      : `select(0.0, ${element(operands, name, row, `min(4u * (${quad}) + ${k}u, ${states - 1}u)`)}, 4u * (${quad}) + ${k}u < ${states}u)`,
  );
  return `vec4<f32>(${parts.join(", ")})`;
}

/** Statements that write four neighbouring states, none past the last. */
export function storeQuad(
  target: string,
  at: string,
  quad: number,
  states: number,
  value: string,
  stride = "1u",
): string {
  return Array.from({ length: Math.min(4, states - 4 * quad) }, (_, k) => {
    return `${target}[${at} + ${4 * quad + k}u * ${stride}] = ${value}[${k}];`;
  }).join(" ");
}

/** WGSL that the programs share. */
export function scanCode({ softplus, reverse, has }: ScanVariant, operands: Operands, hasMarks = true): string {
  const ids = has.has("segmentIds")
    ? "fn segmentOf(b: u32, i: u32) -> i32 { return ids[p.idsOffset + b * p.length + timeOf(i)]; }"
    : "";
  const marks =
    hasMarks && ids
      ? `
// the last segment before a piece, -1 if there is none
fn segmentBefore(b: u32, piece: u32) -> i32 {
  for (var k = piece; k > 0u; k--) {
    let last = marks[3u * (b * p.pieces + k - 1u) + 1u];
    if (last >= 0) { return last; }
  }
  return -1;
}`
      : "";
  return `
fn timeOf(i: u32) -> u32 { return ${reverse ? "p.length - 1u - i" : "i"}; }
${ids}${marks}
const LOG2_E = 1.44269504;
const LN_2 = 0.693147181;
// 2^x - 1, near 0 by its series: h + (2^x - 1) h rounds less often than 2^x h
fn decayLess(x: vec4<f32>) -> vec4<f32> {
  let second = fma(x, fma(x, vec4<f32>(0.00961812911), vec4<f32>(0.0555041087)), vec4<f32>(0.240226507));
  return select(exp2(x) - 1.0, x * fma(x, second, vec4<f32>(LN_2)), abs(x) < vec4<f32>(0.09));
}
fn sigmoidOf(x: f32) -> f32 { return 1.0 / (1.0 + exp(-x)); }
// ln(1 + e) = 2 artanh(e / (2 + e)) keeps what 1 + e would lose
fn softplusOf(x: f32) -> f32 {
  let e = exp(-abs(x));
  let s = e / (2.0 + e);
  let square = s * s;
  let series = fma(square, fma(square, fma(square, fma(square, fma(square, 0.096, 0.111111111), 0.142857143), 0.2), 0.333333333), 1.0);
  return max(x, 0.0) + 2.0 * s * series;
}
fn stepSize(row: u32, c: u32) -> f32 {
  let raw = ${element(operands, "delta", "row", "c")}${has.has("deltaBias") ? ` + ${element(operands, "deltaBias", "0u", "c")}` : ""};
  return ${softplus ? "select(softplusOf(raw), raw, raw > 20.0)" : "raw"};
}`;
}

/** WGSL that stages B or C of {@link STAGED} steps, for `row` of a step `s` of the block. */
export function stageCode(operands: Operands, name: string, states: number): string {
  const quads = quadsOf(states);
  const cases = Array.from({ length: quads }, (_, quad) => {
    return `case ${quad}u: { staged${name}[i] = ${quadOf(operands, name, "row", quad, states)}; }`;
  });
  if (quads === 1) return `staged${name}[i] = ${quadOf(operands, name, "row", 0, states)};`;
  if (states % 4 === 0) {
    const parts = Array.from({ length: 4 }, (_, k) => element(operands, name, "row", `4u * quad + ${k}u`));
    return `staged${name}[i] = vec4<f32>(${parts.join(", ")});`;
  }
  return `switch quad { ${cases.join(" ")} default: {} }`;
}

/** Segments of a scan: ids by time, and of each piece the first and last segment and whether there are several. */
export interface SegmentMarks {
  readonly ids: Bound;
  readonly idsOffset: number;
  readonly marks: Bound;
}

const marksProgram = (reverse: boolean): Program => ({
  name: `selectiveScan marks${reverse ? " reverse" : ""}`,
  bindings: [
    { name: "ids", type: "i32" },
    { name: "marks", type: "i32", write: true },
  ],
  params: ["batch:u32", "length:u32", "pieces:u32", "pieceLength:u32", "idsOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.batch * p.pieces) { return; }
  let b = index / p.pieces;
  let start = (index % p.pieces) * p.pieceLength;
  var first = -1;
  var last = -1;
  var several = 0;
  for (var i = start; i < min(p.length, start + p.pieceLength); i++) {
    let segment = ids[p.idsOffset + b * p.length + ${reverse ? "p.length - 1u - i" : "i"}];
    if (segment < 0) { continue; }
    if (first < 0) { first = segment; }
    if (last >= 0 && last != segment) { several = 1; }
    last = segment;
  }
  marks[3u * index] = first;
  marks[3u * index + 1u] = last;
  marks[3u * index + 2u] = several;`,
});

/** Notes where segments begin and end, if there are any. */
export function markSegments(
  context: WebgpuKernelContext,
  { inputs }: KernelCall,
  { reverse }: ScanVariant,
  pieces: Pieces,
): SegmentMarks | undefined {
  const given = inputs["segmentIds"];
  if (!given) return undefined;
  const ids = denseIds(context, given);
  const count = pieces.batch * pieces.pieces;
  const marks = context.scratch(12 * count);
  const { batch, length, pieces: number, pieceLength } = pieces;
  const values = { batch, length, pieces: number, pieceLength, idsOffset: ids.offset };
  context.dispatch(marksProgram(reverse), [ids.bound, marks], values, Math.ceil(count / WORKGROUP));
  return { ids: ids.bound, idsOffset: ids.offset, marks };
}
