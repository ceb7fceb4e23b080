import { type GpuBinding, type Program, programNamed, wgslMath } from "../../backends/webgpu/index.ts";
import { CHUNK, params, type Variant, WORKGROUP } from "./variant.webgpu.ts";

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
  make: () => Pick<Program, "declarations" | "body">,
): Program {
  const own = reads.filter((one) => required.has(one) || variant.has.has(one));
  const { window, silu, reverse } = variant;
  const key = `${window}${silu ? " silu" : ""}${reverse ? " reverse" : ""} ${[...variant.has].join(" ")}`;
  return programNamed(`${name} ${key}`, () => ({
    bindings: [
      ...own.map((one) => readable[one]!),
      ...writes.map((one) => ({ name: one, type: "f32" as const, write: true })),
    ],
    params,
    workgroup: WORKGROUP,
    ...make(),
  }));
}

const step = `
  if (index >= p.count) { return; }
  let c = index % p.channels;
  let i = (index / p.channels) % p.length;
  let b = index / (p.channels * p.length);`;

const outAt = "(b * p.length + timeOf(i)) * p.channels + c";

export const forwardProgram = (variant: Variant): Program =>
  program("causalConv", variant, ["x", "weight", "bias", "initialState", "segmentIds"], ["y"], () => ({
    declarations: wgslMath("sigmoid") + timeCode(variant) + historyCode(variant) + valueCode(variant),
    body: `${step}
  let segment = segmentOf(b, i);
  var value = 0.0;
  if (segment >= 0) {
    fillBack(b, i, c, segment);
    history[${variant.window - 1}] = sampleAt(b, i, c);
    let s = weighted(c);
    value = ${variant.silu ? "s * sigmoidOf(s)" : "s"};
  }
  y[${outAt}] = value;`,
  }));

/** A thread for each sample of the state that is left. */
export const finalProgram = (variant: Variant): Program =>
  program("causalConv final", variant, ["x", "initialState", "segmentIds"], ["finalState"], () => ({
    declarations: timeCode(variant) + historyCode(variant),
    body: `
  if (index >= p.batch * p.channels) { return; }
  let c = index % p.channels;
  let b = index / p.channels;
  fillBack(b, p.length, c, -1);
  for (var k = 0u; k < ${variant.window - 1}u; k++) { finalState[(b * ${variant.window - 1}u + k) * p.channels + c] = history[k]; }`,
  }));

/** Gradient of the value before the activation, at every step. */
export const slopeProgram = (variant: Variant): Program =>
  program("causalConv slope", variant, ["x", "weight", "bias", "initialState", "segmentIds", "dy"], ["ds"], () => ({
    declarations: wgslMath("sigmoid") + timeCode(variant) + historyCode(variant) + valueCode(variant),
    body: `${step}
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
  }));

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

export const inputProgram = (variant: Variant): Program =>
  program("causalConv dx", variant, ["weight", "segmentIds", "dFinalState", "ds"], ["dx"], () => ({
    declarations: timeCode(variant) + forwardWalk(variant),
    body: `${step}
  let segment = segmentOf(b, i);
  var value = 0.0;
  if (segment >= 0) { value = given(b, i, c, segment, ${variant.window - 1}u); }
  dx[${outAt}] = value;`,
  }));

export const initialProgram = (variant: Variant): Program =>
  program(
    "causalConv dInitialState",
    variant,
    ["weight", "segmentIds", "dFinalState", "ds"],
    ["dInitialState"],
    () => ({
      declarations: timeCode(variant) + forwardWalk(variant),
      body: `
  if (index >= p.batch * ${variant.window - 1}u * p.channels) { return; }
  let c = index % p.channels;
  let k = (index / p.channels) % ${variant.window - 1}u;
  let b = index / (p.channels * ${variant.window - 1}u);
  dInitialState[index] = given(b, 0u, c, -1, k);`,
    }),
  );

/** Partial sums of the gradients of weight, [chunks channels window], and after them of the bias, [chunks channels]. */
export const weightProgram = (variant: Variant): Program =>
  program("causalConv dWeight", variant, ["x", "initialState", "segmentIds", "ds"], ["partial"], () => ({
    declarations: timeCode(variant) + historyCode(variant),
    body: `
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
  for (var k = 0u; k < ${variant.window}u; k++) { partial[index * ${variant.window}u + k] = sums[k]; }
  partial[p.chunks * p.channels * ${variant.window}u + index] = sums[${variant.window}];`,
  }));
