import {
  type Bound,
  type Program,
  type WebgpuKernel,
  type WebgpuKernelContext,
  wgslMath,
} from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillPart } from "../movement/webgpu.ts";
import { sumRows } from "../reduce/webgpu.ts";
import { CHUNK } from "./chunk.ts";
import {
  type ScanOperands,
  type ScanVariant,
  scanCode,
  scanOperands,
  scanParams,
  scanValues,
  variantName,
} from "./packed.webgpu.ts";

const WORKGROUP = 64;

/** Gradients that a thread adds up over time, by batch: [batch channels width]. */
const vectorNames = ["dA", "dD", "dDeltaBias", "dConstantB", "dConstantC", "adjoint"] as const;

const vectorParams: Program["params"] = vectorNames.map((name) => `${name}At:u32` as const);

/**
 * One chunk of time: a thread computes the states of its channel again from the chunk's saved entry, then walks back. What goes to B
 * and C is left for each channel in `wide`, behind the states, to be added up over the channels of a group.
 */
function chunkProgram(variant: ScanVariant): Program {
  const { states, has } = variant;
  const each = (body: string): string => `for (var n = 0u; n < ${states}u; n++) { ${body} }`;
  const vector = (name: string, width: string): string => `vectors[p.${name}At + index * ${width}`;
  const toB = has.has("constantB")
    ? "ofB[n] += adjoint * delta * u;"
    : "wide[p.wideB + place + n] = adjoint * delta * u;";
  const toC = has.has("constantC") ? "ofC[n] += dy * next;" : "wide[p.wideC + place + n] = dy * next;";
  const segmentGradient = has.has("dSegmentStates")
    ? `if (segment >= 0 && u32(segment) < p.segments) { ${each(`g[n] += small[p.dSegmentStatesOffset + ((b * p.segments + u32(segment)) * p.channels + c) * ${states}u + n];`)} }`
    : "";
  return {
    name: `selectiveScanBackward ${variantName(variant)}`,
    bindings: [
      { name: "small", type: "f32" },
      { name: "rows", type: "f32" },
      ...(has.has("B") || has.has("C") ? [{ name: "selection", type: "f32" } as const] : []),
      ...(has.has("segmentIds") ? [{ name: "ids", type: "i32" } as const] : []),
      { name: "out", type: "f32", write: true },
      { name: "vectors", type: "f32", write: true },
      { name: "wide", type: "f32", write: true },
    ],
    params: [
      ...scanParams,
      ...vectorParams,
      ...(["chunk:u32", "wideB:u32", "wideC:u32", "rowCount:u32"] as const),
      ...(["chunkStatesOffset:u32", "dFinalStateOffset:u32", "dSegmentStatesOffset:u32"] as const),
    ],
    workgroup: WORKGROUP,
    declarations: `${wgslMath("exp", "expm1", "softplus", "sigmoid")}${scanCode(variant)}
fn segmentBefore(b: u32, i: u32) -> i32 {
  for (var k = i; k > 0u; k--) { let segment = segmentOf(b, k - 1u); if (segment >= 0) { return segment; } }
  return -1;
}
var<private> g: array<f32, ${states}>;
fn addSegment(b: u32, c: u32, segment: i32) { ${segmentGradient} }`,
    body: `
  if (index >= p.batch * p.channels) { return; }
  let c = index % p.channels;
  let b = index / p.channels;
  let start = p.chunk * ${CHUNK}u;
  let end = min(p.length, start + ${CHUNK}u);
  var h: array<f32, ${states}>;
  ${each(`h[n] = small[p.chunkStatesOffset + ((b * p.chunks + p.chunk) * p.channels + c) * ${states}u + n];`)}
  var current = segmentBefore(b, start);
  for (var i = start; i < end; i++) {
    let t = timeOf(i);
    let segment = segmentOf(b, i);
    if (current >= 0 && segment >= 0 && segment != current) { ${each("h[n] = 0.0;")} }
    let place = ((b * ${CHUNK}u + i - start) * p.channels + c) * ${states}u;
    ${each("wide[place + n] = h[n];")}
    if (segment < 0) { continue; }
    current = segment;
    let delta = stepSize(b, t, c);
    let u = rows[p.uOffset + rowAt(b, t, c)];
    ${each("h[n] = decayed(delta * coefficientA(c, n), h[n]) + delta * u * coefficientB(b, t, c, n);")}
  }
  if (end == p.length) {
    ${each(`g[n] = ${has.has("dFinalState") ? `small[p.dFinalStateOffset + index * ${states}u + n]` : "0.0"};`)}
    addSegment(b, c, segmentBefore(b, p.length));
  } else {
    ${each(`g[n] = ${vector("adjoint", `${states}u + n]`)};`)}
  }
  var ofA: array<f32, ${states}>;
  var ofB: array<f32, ${states}>;
  var ofC: array<f32, ${states}>;
  var ofD = 0.0;
  var ofBias = 0.0;
  let skip = ${has.has("D") ? "small[p.DOffset + c]" : "0.0"};
  for (var k = end; k > start; k--) {
    let i = k - 1u;
    let t = timeOf(i);
    let at = rowAt(b, t, c);
    let place = ((b * ${CHUNK}u + i - start) * p.channels + c) * ${states}u;
    let segment = segmentOf(b, i);
    if (segment < 0) {
      out[at] = 0.0;
      out[p.rowCount + at] = 0.0;
      ${has.has("z") ? "out[2u * p.rowCount + at] = 0.0;" : ""}
      ${has.has("B") ? each("wide[p.wideB + place + n] = 0.0;") : ""}
      ${has.has("C") ? each("wide[p.wideC + place + n] = 0.0;") : ""}
      continue;
    }
    let delta = stepSize(b, t, c);
    let u = rows[p.uOffset + at];
    let given = rows[p.dyOffset + at];
    ${has.has("z") ? "let z = rows[p.zOffset + at]; let gate = sigmoidOf(z); let dy = given * z * gate;" : "let dy = given;"}
    var y = skip * u;
    var throughB = 0.0;
    var dDelta = 0.0;
    for (var n = 0u; n < ${states}u; n++) {
      let A = coefficientA(c, n);
      let B = coefficientB(b, t, c, n);
      let C = coefficientC(b, t, c, n);
      let kept = decayed(delta * A, wide[place + n]);
      let next = kept + delta * u * B;
      let adjoint = fma(dy, C, g[n]);
      y = fma(C, next, y);
      throughB = fma(adjoint, B, throughB);
      dDelta = fma(adjoint, fma(kept, A, u * B), dDelta);
      ofA[n] = fma(adjoint * kept, delta, ofA[n]);
      ${toB}
      ${toC}
      g[n] = decayed(delta * A, adjoint);
    }
    ${variant.softplus ? "dDelta = dDelta * -expm1Of(-delta);" : ""}
    out[at] = fma(delta, throughB, skip * dy);
    out[p.rowCount + at] = dDelta;
    ${has.has("z") ? "out[2u * p.rowCount + at] = given * y * gate * fma(z, sigmoidOf(-z), 1.0);" : ""}
    ofBias += dDelta;
    ofD = fma(dy, u, ofD);
    let previous = segmentBefore(b, i);
    if (previous >= 0 && previous != segment) { ${each("g[n] = 0.0;")} addSegment(b, c, previous); }
  }
  ${each(`${vector("adjoint", `${states}u + n]`)} = g[n]; ${vector("dA", `${states}u + n]`)} += ofA[n];`)}
  ${has.has("constantB") ? each(`${vector("dConstantB", `${states}u + n]`)} += ofB[n];`) : ""}
  ${has.has("constantC") ? each(`${vector("dConstantC", `${states}u + n]`)} += ofC[n];`) : ""}
  ${vector("dD", "1u]")} += ofD;
  ${vector("dDeltaBias", "1u]")} += ofBias;`,
  };
}

/** Sums what a chunk's channels give to B or C of their group. */
const groupProgram = (states: number, reverse: boolean): Program => ({
  name: `selectiveScanBackward groups ${states}${reverse ? " reverse" : ""}`,
  bindings: [
    { name: "wide", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["batch:u32", "length:u32", "channels:u32", "groups:u32", "chunk:u32", "wideAt:u32", "outOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  let start = p.chunk * ${CHUNK}u;
  let steps = min(p.length - start, ${CHUNK}u);
  if (index >= p.batch * steps * p.groups * ${states}u) { return; }
  let n = index % ${states}u;
  let own = (index / ${states}u) % p.groups;
  let step = (index / (${states}u * p.groups)) % steps;
  let b = index / (${states}u * p.groups * steps);
  let width = p.channels / p.groups;
  var sum = 0.0;
  for (var c = own * width; c < (own + 1u) * width; c++) {
    sum += wide[p.wideAt + ((b * ${CHUNK}u + step) * p.channels + c) * ${states}u + n];
  }
  let i = start + step;
  let t = ${reverse ? "p.length - 1u - i" : "i"};
  out[p.outOffset + ((b * p.length + t) * p.groups + own) * ${states}u + n] = sum;`,
});

interface Workspace {
  readonly out: Bound;
  readonly vectors: Bound;
  readonly wide: Bound;
  readonly at: Readonly<Record<string, number>>;
}

function makeWorkspace(context: WebgpuKernelContext, { sizes, variant }: ScanOperands): Workspace {
  const { batch, length, channels } = sizes;
  const { states } = variant;
  const at: Record<string, number> = {};
  let size = 0;
  for (const name of vectorNames) {
    at[`${name}At`] = size;
    size += batch * channels * (name === "dD" || name === "dDeltaBias" ? 1 : states);
  }
  const vectors = context.scratch(4 * size);
  fillPart(context, vectors, 0, size, 0);
  const chunk = batch * CHUNK * channels * states;
  return {
    out: context.scratch(12 * batch * length * channels),
    vectors,
    wide: context.scratch(12 * chunk),
    at: { ...at, wideB: chunk, wideC: 2 * chunk, rowCount: batch * length * channels },
  };
}

/** Gradients of {@link selectiveScanOp}, chunk by chunk from the last. */
export const selectiveScanBackward: WebgpuKernel = (context, call) => {
  const { outputs } = call;
  const extra = ["chunkStates", "dFinalState", "dSegmentStates"];
  const operands = scanOperands(context, call, extra);
  const { variant, sizes, small, rows, selection, ids } = operands;
  const { batch, length, channels, groups, chunks } = sizes;
  if (batch * length * channels === 0) return;
  const space = makeWorkspace(context, operands);
  const program = chunkProgram(variant);
  const all: Record<string, Bound | undefined> = {
    ...{ small: small.bound, rows: rows.bound, selection: selection.bound, ids: ids?.bound },
    ...{ out: space.out, vectors: space.vectors, wide: space.wide },
  };
  const bound = program.bindings.map(({ name }) => all[name]!);
  const values = { ...scanValues(operands), ...space.at };
  const sums = groupProgram(variant.states, variant.reverse);
  for (let chunk = chunks - 1; chunk >= 0; chunk--) {
    context.dispatch(program, bound, { ...values, chunk }, Math.ceil((batch * channels) / WORKGROUP));
    const count = batch * Math.min(CHUNK, length - chunk * CHUNK) * groups * variant.states;
    for (const [name, wideAt] of [
      ["dB", space.at["wideB"]!],
      ["dC", space.at["wideC"]!],
    ] as const) {
      const out = outputs[name];
      if (!out) continue;
      const own = { batch, length, channels, groups, chunk, wideAt, outOffset: out.offset };
      context.dispatch(sums, [space.wide, out], own, Math.ceil(count / WORKGROUP));
    }
  }
  handOut(context, operands, space, outputs);
};

/** Copies rows out, and sums over the batch what does not depend on it. */
function handOut(
  context: WebgpuKernelContext,
  { sizes, variant }: ScanOperands,
  { out, vectors, at }: Workspace,
  outputs: Readonly<Record<string, Tensor>>,
): void {
  const { batch, channels } = sizes;
  ["du", "dDelta", "dz"].forEach((name, i) => {
    const tensor = outputs[name];
    if (tensor) context.copy(out, i * at["rowCount"]!, tensor, tensor.offset, tensor.size);
  });
  for (const name of vectorNames) {
    const total = outputs[name];
    if (!total) continue;
    const columns = channels * (name === "dD" || name === "dDeltaBias" ? 1 : variant.states);
    const matrix = { bound: vectors, offset: at[`${name}At`]!, rowStride: columns, columnStride: 1, batchStride: 0 };
    sumRows(context, matrix, batch, total);
  }
  const { dInitialState } = outputs;
  if (dInitialState) context.copy(vectors, at["adjointAt"]!, dInitialState, dInitialState.offset, dInitialState.size);
}
