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
import { CHUNK } from "./chunk.ts";
import { sumByHalves } from "./halving.webgpu.ts";
import type { Operands } from "./operands.webgpu.ts";
import {
  element,
  extensions,
  laneQuad,
  quadsOf,
  type ScanVariant,
  scanCode,
  stored,
  variantName,
} from "./pieces.webgpu.ts";

/** How the sweep is spread over the lanes of subgroups. */
export interface LanesShape extends BackwardShape {
  /** Lanes of a subgroup, a power of two. */
  readonly subgroup: number;
  /** Lanes that share a channel, each with some of its states. */
  readonly parts: number;
}

const WORKGROUP = 64;
/** Steps whose states are in registers at a time. */
const STEPS = 4;
const MOST_QUADS = 4;

/** How a scan of that many states is spread; undefined if it cannot be. */
export function lanesShape(states: number, width: number, subgroup: number, memory: number): LanesShape | undefined {
  const parts = 2;
  const quads = quadsPerLane(states, parts);
  const bytes = 2 * 16 * CHUNK * parts * quads;
  if (subgroup < 2 * parts || subgroup > WORKGROUP || quads > MOST_QUADS || bytes > memory) return undefined;
  const channels = WORKGROUP / parts;
  const tiles = Math.ceil(width / channels);
  return { states, channels, steps: STEPS, tiles, sums: (tiles * WORKGROUP) / subgroup, subgroup, parts };
}

/** Quads of states of a lane, a power of two so that sums over channels can be halved. */
function quadsPerLane(states: number, parts: number): number {
  return 2 ** Math.ceil(Math.log2(Math.ceil(quadsOf(states) / parts)));
}

/**
 * The last phase of backward where threads of a subgroup can see each other's registers: a lane walks some states of one channel
 * through a piece. What the channels give to B and C is summed by halves: in each exchange a lane keeps one half of its values and
 * gets its partner's share of them, until few are left, summed over all lanes. Nothing but B and C is in workgroup memory.
 */
export function lanesProgram(
  variant: ScanVariant,
  operands: Operands,
  { states, channels, subgroup, parts }: LanesShape,
  isPacked: boolean,
): Program {
  return programNamed(
    `selectiveScan lanes ${subgroup} ${parts} ${variantName(variant, operands)}${isPacked ? " packed results" : ""}`,
    () => {
      const { softplus, has } = variant;
      const quads = quadsPerLane(states, parts);
      const ids = has.has("segmentIds");
      const staged = (["B", "C"] as const).filter((name) => !has.has(`constant${name}`));
      const rows = perRow.filter((name) => name !== "dz" || has.has("z"));
      const lines = (count: number, code: (i: number) => string): string =>
        Array.from({ length: count }, (_, i) => code(i)).join("\n");
      const each = (code: (q: number) => string): string => lines(quads, code);
      const eachStep = (code: (s: number) => string): string => lines(STEPS, code);
      const out = (name: string): string => (isPacked ? "results" : name);
      const kept = (value: string): string => (isPacked ? value : stored(variant, value));
      const quadAt = (name: string, row: string, q: number): string =>
        laneQuad(operands, name, row, `firstQuad + ${q}u`, { states, quads: parts * quads });
      const coefficient = (name: "B" | "C", s: number, q: number): string =>
        has.has(`constant${name}`)
          ? `constant${name}${q}`
          : `staged${name}[(base + ${s}u) * ${parts * quads}u + firstQuad + ${q}u]`;
      const cut = (s: number): string => `isCut(b, first + base + ${s}u, first + count)`;
      const load = (isBack: boolean): string =>
        eachStep(
          (s) => `
    let i${s} = first + min(base + ${s}u, count - 1u);
    let row${s} = b * p.length + timeOf(i${s});
    let isThere${s} = base + ${s}u < count && isInside;
    let isStep${s} = isThere${s}${ids ? ` && segmentOf(b, i${s}) >= 0` : ""};
    let u${s} = ${element(operands, "u", `row${s}`, "c")};
    let delta${s} = select(0.0, stepSize(row${s}, c), isStep${s});
    let entering${s} = delta${s} * u${s};
    ${
      isBack
        ? `let given${s} = select(0.0, ${element(operands, "dy", `row${s}`, "c")}, isStep${s});
    ${
      has.has("z")
        ? `let z${s} = ${element(operands, "z", `row${s}`, "c")}; let gate${s} = sigmoidOf(z${s}); let dy${s} = given${s} * z${s} * gate${s};`
        : `let dy${s} = given${s};`
    }`
        : ""
    }`,
        );
      const walk = (isBack: boolean): string =>
        eachStep(
          (s) => `
    ${ids ? `if (${cut(s)}) { ${each((q) => `h${q} = vec4<f32>(0.0);`)} }` : ""}
    ${each(
      (q) => `
    ${isBack ? `let before${s}_${q} = h${q};` : ""}
    let less${s}_${q} = decayLess(delta${s} * A${q});
    h${q} = fma(less${s}_${q}, h${q}, fma(vec4<f32>(entering${s}), ${coefficient("B", s, q)}, h${q}));`,
    )}`,
        );
      /** Sums of some vectors over the channels of a subgroup, as statements and the names of what is left in a lane. */
      const summed = (given: readonly string[], s: number): { code: string; left: readonly string[] } => {
        const values = given.flatMap((name) => [0, 1, 2, 3].map((k) => `${name}[${k}]`));
        const masks = Array.from({ length: Math.log2(subgroup / parts) }, (_, i) => parts * 2 ** i);
        const { code, left } = sumByHalves(values, masks, s, "has");
        return { code: code.join("\n"), left };
      };
      const across = (name: string): string => {
        const code = [`var ${name}All = ${name};`];
        for (let mask = 1; mask < parts; mask *= 2)
          code.push(`${name}All += subgroupShuffleXor(${name}All, ${mask}u);`);
        return code.join(" ");
      };
      const vectors = staged.length * quads;
      /** Which of a lane's values are left after the exchanges begins at `kept`, of all 4 x vectors. */
      const halvings: string[] = [];
      let size = 4 * vectors;
      let repeats = "true";
      for (let mask = parts; mask < subgroup; mask *= 2) {
        if (size > 1) {
          size /= 2;
          halvings.push(`select(0u, ${size}u, has${mask})`);
        } else repeats += ` && !has${mask}`;
      }
      const dSegment = (s: number): string =>
        has.has("dSegmentStates")
          ? `let ended = segmentBeforeStep(b, first + base + ${s}u);
      if (ended >= 0 && u32(ended) < p.segments) { let endedRow = (b * p.segments + u32(ended)) * p.channels + c; ${each((q) => `g${q} += ${quadAt("dSegmentStates", "endedRow", q)};`)} }`
          : "";
      const back = (s: number): string => {
        const given = staged.flatMap((name) => Array.from({ length: quads }, (_, q) => `given${name}${q}`));
        const sums = vectors > 0 ? summed(given, s) : { code: "", left: [] };
        const total = (code: (q: number) => string): string =>
          Array.from({ length: quads }, (_, q) => code(q)).join(" + ");
        return `{
    ${each(
      (q) => `
    let B${q} = ${coefficient("B", s, q)};
    let C${q} = ${coefficient("C", s, q)};
    let adjoint${q} = fma(vec4<f32>(dy${s}), C${q}, g${q});
    let kept${q} = fma(less${s}_${q}, before${s}_${q}, before${s}_${q});
    let next${q} = fma(vec4<f32>(entering${s}), B${q}, kept${q});
    let both${q} = adjoint${q} * kept${q};
    ofA${q} = fma(both${q}, vec4<f32>(delta${s}), ofA${q});
    ${has.has("constantB") ? `ofConstantB${q} = fma(adjoint${q}, vec4<f32>(entering${s}), ofConstantB${q});` : `let givenB${q} = adjoint${q} * entering${s};`}
    ${has.has("constantC") ? `ofConstantC${q} = fma(next${q}, vec4<f32>(dy${s}), ofConstantC${q});` : `let givenC${q} = dy${s} * next${q};`}
    g${q} = fma(less${s}_${q}, adjoint${q}, adjoint${q});`,
    )}
    ${has.has("z") ? `let y = ${total((q) => `dot(C${q}, next${q})`)}; ${across("y")}` : ""}
    let throughB = ${total((q) => `dot(adjoint${q}, B${q})`)}; ${across("throughB")}
    let throughA = ${total((q) => `dot(both${q}, A${q})`)}; ${across("throughA")}
    var ofStep = fma(throughAAll, LN_2, u${s} * throughBAll);
    ${softplus ? `ofStep *= -decayLess(vec4<f32>(-LOG2_E * delta${s})).x;` : ""}
    if (isStep${s}) { ofBias += ofStep; ofD = fma(dy${s}, u${s}, ofD); }
    if (isThere${s} && part == ${s % parts}u) {
      let at = row${s} * p.channels + c;
      ${out("du")}[p.duAt + at] = ${kept(`select(0.0, fma(delta${s}, throughBAll, skip * dy${s}), isStep${s})`)};
      ${out("dDelta")}[p.dDeltaAt + at] = ${kept(`select(0.0, ofStep, isStep${s})`)};
      ${has.has("z") ? `${out("dz")}[p.dzAt + at] = ${kept(`select(0.0, given${s} * fma(skip, u${s}, yAll) * gate${s} * fma(z${s}, 1.0 - gate${s}, 1.0), isStep${s})`)};` : ""}
    }
    ${sums.code}
    if (isKeeper && base + ${s}u < count) {
      let at = partialRow(tile * ${WORKGROUP / subgroup}u + lane / ${subgroup}u, b, first + base + ${s}u, own);
      ${sums.left
        .map((name, i) => {
          const place = `(kept + ${i}u)`;
          const state = `4u * firstQuad + ${place} % ${4 * quads}u`;
          const at = (which: string): string => `partials[p.d${which}At + at * ${states}u + ${state}] = ${name};`;
          const store =
            staged.length === 2 ? `if (${place} < ${4 * quads}u) { ${at("B")} } else { ${at("C")} }` : at(staged[0]!);
          return states === parts * quads * 4 ? store : `if (${state} < ${states}u) { ${store} }`;
        })
        .join("\n")}
    }
    ${ids ? `if (${cut(s)}) { ${each((q) => `g${q} = vec4<f32>(0.0);`)} ${dSegment(s)} }` : ""}
  }`;
      };
      return {
        requires: extensions(variant, "subgroups"),
        bindings: sweepBindings(variant, operands, isPacked ? ["results"] : rows),
        params: sweepParams(operands),
        workgroup: WORKGROUP,
        declarations: `${scanCode(variant, operands, false)}${partialCode}
${ids ? segmentCuts : ""}
${staged.map((name) => `var<workgroup> staged${name}: array<vec4<f32>, ${CHUNK * parts * quads}>;`).join("\n")}`,
        body: `${placeOfGroup}
  let part = lane % ${parts}u;
  let firstQuad = part * ${quads}u;
  let place = tile * ${channels}u + lane / ${parts}u;
  let isInside = place < p.width;
  let c = own * p.width + min(place, p.width - 1u);
  let first = piece * p.pieceLength;
  let count = min(p.length, first + p.pieceLength) - first;
  let blocks = (count + ${STEPS - 1}u) / ${STEPS}u;
  let state = (b * p.pieces + piece) * p.channels + c;
  ${lines(Math.log2(subgroup / parts), (k) => `let has${parts << k} = (lane & ${parts << k}u) != 0u;`)}
  let kept = ${halvings.join(" + ") || "0u"};
  let isKeeper = ${repeats};
  ${
    staged.length === 0
      ? ""
      : `for (var i = lane; i < count * ${parts * quads}u; i += ${WORKGROUP}u) {
    let quad = i % ${parts * quads}u;
    let row = (b * p.length + timeOf(first + i / ${parts * quads}u)) * p.groups + own;
    ${staged.map((name) => `staged${name}[i] = ${laneQuad(operands, name, "row", "quad", { states, quads: parts * quads })};`).join("\n")}
  }
  workgroupBarrier();`
  }
  ${each(
    (q) => `
  let A${q} = LOG2_E * ${quadAt("A", "c", q)};
  var h${q} = ${quadAt("chunkStates", "state", q)};
  var g${q} = vec4<f32>(0.0);
  var ofA${q} = vec4<f32>(0.0);
  ${(["B", "C"] as const)
    .filter((name) => has.has(`constant${name}`))
    .map(
      (name) =>
        `let constant${name}${q} = ${quadAt(`constant${name}`, "c", q)}; var ofConstant${name}${q} = vec4<f32>(0.0);`,
    )
    .join("\n")}
  for (var k = 0u; k < 4u; k++) {
    let n = 4u * (firstQuad + ${q}u) + k;
    if (n < ${states}u) { g${q}[k] = adjoints[((b * p.pieces + piece) * ${states}u + n) * p.channels + c]; }
  }`,
  )}
  let skip = ${has.has("D") ? element(operands, "D", "0u", "c") : "0.0"};
  var ofD = 0.0;
  var ofBias = 0.0;
  var entries: array<vec4<f32>, ${(CHUNK / STEPS) * quads}>;
  for (var block = 0u; block + 1u < blocks; block++) {
    ${each((q) => `entries[block * ${quads}u + ${q}u] = h${q};`)}
    let base = block * ${STEPS}u;
    ${load(false)}
    ${walk(false)}
  }
  ${each((q) => `entries[(blocks - 1u) * ${quads}u + ${q}u] = h${q};`)}
  for (var left = blocks; left > 0u; left--) {
    let base = (left - 1u) * ${STEPS}u;
    ${load(true)}
    ${each((q) => `h${q} = entries[(left - 1u) * ${quads}u + ${q}u];`)}
    ${walk(true)}
    ${lines(STEPS, (k) => back(STEPS - 1 - k))}
  }
  if (isInside) {
    ${each(
      (q) => `
    for (var k = 0u; k < 4u; k++) {
      let n = 4u * (firstQuad + ${q}u) + k;
      if (n >= ${states}u) { break; }
      let at = state * ${states}u + n;
      partials[p.dAAt + at] = ofA${q}[k];
      ${has.has("constantB") ? `partials[p.dConstantBAt + at] = ofConstantB${q}[k];` : ""}
      ${has.has("constantC") ? `partials[p.dConstantCAt + at] = ofConstantC${q}[k];` : ""}
    }`,
    )}
    if (part == 0u) {
      ${has.has("D") ? "partials[p.dDAt + state] = ofD;" : ""}
      ${has.has("deltaBias") ? "partials[p.dDeltaBiasAt + state] = ofBias;" : ""}
    }
  }`,
      };
    },
  );
}
