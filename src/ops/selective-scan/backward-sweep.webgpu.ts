import type { Program } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";
import {
  type BackwardShape,
  partialCode,
  perRow,
  placeOfGroup,
  segmentCuts,
  sweepBindings,
  sweepParams,
} from "./backward-shape.webgpu.ts";
import type { Operands } from "./operands.webgpu.ts";
import {
  element,
  extensions,
  laneQuad,
  type Pieces,
  quadsOf,
  type ScanVariant,
  scanCode,
  stored,
  variantName,
} from "./pieces.webgpu.ts";

const WANTED_THREADS = 128;
/** More steps at a time would want more registers than they save barriers. */
const MOST_STEPS = 4;
/** What is between steps in the sums over channels, so that they begin in different banks. */
const PADDING = 4;

/** Threads that share a channel: what divides evenly, so that each channel's are in one workgroup. */
export function backwardShape({ states }: ScanVariant, { width }: Pieces, memory: number): BackwardShape {
  const quads = quadsOf(states);
  const channels = Math.max(1, Math.min(64, Math.floor(WANTED_THREADS / quads)));
  const bytesOf = (steps: number): number => {
    const perStepWords = 3 * channels + 8 * quads + 3 * channels * quads + 8 * (channels * quads + PADDING);
    return 4 * steps * perStepWords;
  };
  let steps = MOST_STEPS;
  while (steps > 1 && bytesOf(steps) > memory) steps /= 2;
  const tiles = Math.ceil(width / channels);
  return { states, channels, steps, tiles, sums: tiles };
}

/**
 * The last phase of backward: through one piece, forward from its saved entry state and back from the adjoint that comes into its
 * end. Forward, only the states at the start of each block of steps are kept; a block's own are computed again on the way back.
 */
export function sweepProgram(
  variant: ScanVariant,
  operands: Operands,
  { states, channels, steps }: BackwardShape,
  isPacked: boolean,
): Program {
  return programNamed(`selectiveScan sweep ${steps} ${variantName(variant, operands)}`, () => {
    const { softplus, has } = variant;
    const quads = quadsOf(states);
    const threads = channels * quads;
    const ids = has.has("segmentIds");
    const staged = (["B", "C"] as const).filter((name) => !has.has(`constant${name}`));
    const rows = perRow.filter((name) => name !== "dz" || has.has("z"));
    const items = Math.ceil((steps * channels) / threads);
    const eachItem = (code: (j: number) => string): string =>
      Array.from({ length: items }, (_, j) => code(j)).join("\n");
    const eachStep = (code: (s: number) => string): string =>
      Array.from({ length: steps }, (_, s) => code(s)).join("\n");
    const out = (name: string): string => (isPacked ? "results" : name);
    const kept = (value: string): string => (isPacked ? value : stored(variant, value));
    const quadAt = (name: string, row: string): string => laneQuad(operands, name, row, "quad", { states, quads });
    const coefficient = (name: "B" | "C", s: number): string =>
      has.has(`constant${name}`) ? `constant${name}` : `staged${name}[${s * quads}u + quad]`;
    const cut = (s: number): string => (ids ? `isCut(b, first + block * ${steps}u + ${s}u, first + count)` : "false");
    const dSegment = has.has("dSegmentStates")
      ? `let ended = segmentBeforeStep(b, first + block * ${steps}u + STEP);
        if (ended >= 0 && u32(ended) < p.segments) { g += ${quadAt("dSegmentStates", "(b * p.segments + u32(ended)) * p.channels + c")}; }`
      : "";
    /** Step sizes, inputs and gradients of a block's outputs, for channels of the tile. */
    const stage = (isBack: boolean): string => `
${eachItem(
  (j) => `
    let item${j} = lane + ${j * threads}u;
    let step${j} = block * ${steps}u + item${j} / ${channels}u;
    let i${j} = first + min(step${j}, count - 1u);
    let place${j} = tile * ${channels}u + item${j} % ${channels}u;
    let c${j} = own * p.width + min(place${j}, p.width - 1u);
    let row${j} = b * p.length + timeOf(i${j});
    let isStep${j} = item${j} < ${steps * channels}u && step${j} < count && place${j} < p.width${ids ? ` && segmentOf(b, i${j}) >= 0` : ""};
    let u${j} = ${element(operands, "u", `row${j}`, `c${j}`)};
    let delta${j} = select(0.0, stepSize(row${j}, c${j}), isStep${j});
    ${
      isBack
        ? `let given${j} = select(0.0, ${element(operands, "dy", `row${j}`, `c${j}`)}, isStep${j});
    ${
      has.has("z")
        ? `let z${j} = ${element(operands, "z", `row${j}`, `c${j}`)}; let gate${j} = sigmoidOf(z${j}); let dy${j} = given${j} * z${j} * gate${j};`
        : `let dy${j} = given${j};`
    }`
        : ""
    }
    if (item${j} < ${steps * channels}u) {
      stagedDelta[item${j}] = delta${j};
      stagedU[item${j}] = u${j};
      ${isBack ? `stagedDy[item${j}] = dy${j};` : ""}
    }`,
)}
    ${
      staged.length === 0
        ? ""
        : `for (var k = lane; k < ${steps * quads}u; k += ${threads}u) {
      let quad = k % ${quads}u;
      let row = (b * p.length + timeOf(first + min(block * ${steps}u + k / ${quads}u, count - 1u))) * p.groups + own;
      ${staged
        .filter((name) => isBack || name === "B")
        .map((name) => `staged${name}[k] = ${quadAt(name, "row")};`)
        .join("\n")}
    }`
    }
    workgroupBarrier();`;
    const walk = (s: number, keep: boolean): string => `
    ${ids ? `if (${cut(s)}) { h = vec4<f32>(0.0); }` : ""}
    ${keep ? `let before${s} = h;` : ""}
    let delta${s}s = stagedDelta[${s * channels}u + w];
    let u${s}s = stagedU[${s * channels}u + w];
    let less${s} = decayLess(delta${s}s * scaledA);
    h = fma(less${s}, h, fma(vec4<f32>(delta${s}s * u${s}s), ${coefficient("B", s)}, h));`;
    const sumsOf = (name: "B" | "C"): string => `ofSelection${name}`;
    return {
      requires: extensions(variant),
      bindings: sweepBindings(variant, operands, isPacked ? ["results"] : rows),
      params: sweepParams(operands),
      workgroup: threads,
      declarations: `${scanCode(variant, operands, false)}${partialCode}
${ids ? segmentCuts : ""}
var<workgroup> stagedDelta: array<f32, ${steps * channels}>;
var<workgroup> stagedU: array<f32, ${steps * channels}>;
var<workgroup> stagedDy: array<f32, ${steps * channels}>;
${staged.map((name) => `var<workgroup> staged${name}: array<vec4<f32>, ${steps * quads}>;`).join("\n")}
var<workgroup> parts: array<f32, ${3 * steps * threads}>;
${staged.map((name) => `var<workgroup> ${sumsOf(name)}: array<vec4<f32>, ${steps * (threads + PADDING)}>;`).join("\n")}`,
      body: `${placeOfGroup}
  let quad = lane % ${quads}u;
  let w = lane / ${quads}u;
  let isInside = tile * ${channels}u + w < p.width;
  let c = own * p.width + min(tile * ${channels}u + w, p.width - 1u);
  let first = piece * p.pieceLength;
  let count = min(p.length, first + p.pieceLength) - first;
  let blocks = (count + ${steps - 1}u) / ${steps}u;
  let state = ((b * p.pieces + piece) * p.channels + c);
  let A = ${quadAt("A", "c")};
  let scaledA = LOG2_E * A;
  ${has.has("constantB") ? `let constantB = ${quadAt("constantB", "c")}; var ofConstantB = vec4<f32>(0.0);` : ""}
  ${has.has("constantC") ? `let constantC = ${quadAt("constantC", "c")}; var ofConstantC = vec4<f32>(0.0);` : ""}
  var h = ${quadAt("chunkStates", "state")};
  var entries: array<vec4<f32>, 64 / ${steps}>;
  for (var block = 0u; block + 1u < blocks; block++) {
    entries[block] = h;
    ${stage(false)}
    ${eachStep((s) => walk(s, false))}
    workgroupBarrier();
  }
  entries[blocks - 1u] = h;
  var g = vec4<f32>(0.0);
  ${Array.from({ length: 4 }, (_, k) => `if (4u * quad + ${k}u < ${states}u) { g[${k}] = adjoints[((b * p.pieces + piece) * ${states}u + 4u * quad + ${k}u) * p.channels + c]; }`).join("\n")}
  var ofA = vec4<f32>(0.0);
  var ofD = 0.0;
  var ofBias = 0.0;
  for (var left = blocks; left > 0u; left--) {
    let block = left - 1u;
    ${stage(true)}
    h = entries[block];
    ${eachStep((s) => walk(s, true))}
    ${Array.from({ length: steps }, (_, k) => {
      const s = steps - 1 - k;
      const part = (value: number): string => `parts[${(value * steps + s) * threads}u + lane]`;
      return `{
      let dy = stagedDy[${s * channels}u + w];
      let B = ${coefficient("B", s)};
      let C = ${coefficient("C", s)};
      let entering = delta${s}s * u${s}s;
      let adjoint = fma(vec4<f32>(dy), C, g);
      let kept = fma(less${s}, before${s}, before${s});
      let next = fma(vec4<f32>(entering), B, kept);
      ${part(0)} = dot(C, next);
      ${part(1)} = dot(adjoint, B);
      ${part(2)} = dot(adjoint, fma(kept, A, u${s}s * B));
      ofA = fma(adjoint * kept, vec4<f32>(delta${s}s), ofA);
      ${has.has("constantB") ? `ofConstantB = fma(adjoint, vec4<f32>(entering), ofConstantB);` : `${sumsOf("B")}[${s * (threads + PADDING)}u + lane] = adjoint * entering;`}
      ${has.has("constantC") ? `ofConstantC = fma(next, vec4<f32>(dy), ofConstantC);` : `${sumsOf("C")}[${s * (threads + PADDING)}u + lane] = dy * next;`}
      g = fma(less${s}, adjoint, adjoint);
      ${ids ? `if (${cut(s)}) { g = vec4<f32>(0.0); ${dSegment.replace("STEP", `${s}u`)} }` : ""}
    }`;
    }).join("\n")}
    workgroupBarrier();
    ${eachItem(
      (j) => `
    if (item${j} < ${steps * channels}u) {
      var y = 0.0;
      var throughB = 0.0;
      var ofStep = 0.0;
      for (var k = item${j} * ${quads}u; k < (item${j} + 1u) * ${quads}u; k++) {
        y += parts[k];
        throughB += parts[${steps * threads}u + k];
        ofStep += parts[${2 * steps * threads}u + k];
      }
      let skip = ${has.has("D") ? element(operands, "D", "0u", `c${j}`) : "0.0"};
      ${softplus ? `ofStep *= -decayLess(vec4<f32>(-LOG2_E * delta${j})).x;` : ""}
      if (isStep${j}) {
        ofBias += ofStep;
        ofD = fma(dy${j}, u${j}, ofD);
      }
      if (step${j} < count && place${j} < p.width) {
        let at = row${j} * p.channels + c${j};
        ${out("du")}[p.duAt + at] = ${kept(`select(0.0, fma(delta${j}, throughB, skip * dy${j}), isStep${j})`)};
        ${out("dDelta")}[p.dDeltaAt + at] = ${kept(`select(0.0, ofStep, isStep${j})`)};
        ${has.has("z") ? `${out("dz")}[p.dzAt + at] = ${kept(`select(0.0, given${j} * fma(skip, u${j}, y) * gate${j} * fma(z${j}, 1.0 - gate${j}, 1.0), isStep${j})`)};` : ""}
      }
    }`,
    )}
    ${staged
      .map(
        (name) => `
    for (var k = lane; k < ${steps * states}u; k += ${threads}u) {
      let s = k / ${states}u;
      let n = k % ${states}u;
      var sum = 0.0;
      for (var other = 0u; other < ${channels}u; other++) {
        sum += ${sumsOf(name)}[s * ${threads + PADDING}u + other * ${quads}u + n / 4u][n % 4u];
      }
      let step = block * ${steps}u + s;
      if (step < count) {
        let row = partialRow(tile, b, first + step, own);
        partials[p.d${name}At + row * ${states}u + n] = sum;
      }
    }`,
      )
      .join("\n")}
  }
  if (isInside) {
    for (var k = 0u; k < 4u; k++) {
      if (4u * quad + k >= ${states}u) { break; }
      let at = state * ${states}u + 4u * quad + k;
      partials[p.dAAt + at] = ofA[k];
      ${has.has("constantB") ? "partials[p.dConstantBAt + at] = ofConstantB[k];" : ""}
      ${has.has("constantC") ? "partials[p.dConstantCAt + at] = ofConstantC[k];" : ""}
    }
  }
  workgroupBarrier();
  parts[lane] = ofD;
  parts[${threads}u + lane] = ofBias;
  workgroupBarrier();
  if (lane < ${channels}u && tile * ${channels}u + lane < p.width) {
    var sumD = 0.0;
    var sumBias = 0.0;
    for (var k = lane; k < ${threads}u; k += ${channels}u) { sumD += parts[k]; sumBias += parts[${threads}u + k]; }
    let at = (b * p.pieces + piece) * p.channels + own * p.width + tile * ${channels}u + lane;
    ${has.has("D") ? "partials[p.dDAt + at] = sumD;" : ""}
    ${has.has("deltaBias") ? "partials[p.dDeltaBiasAt + at] = sumBias;" : ""}
  }`,
    };
  });
}
