import { type Program, programNamed, wgslMath } from "../../backends/webgpu/index.ts";
import {
  CHANNELS,
  dotsCode,
  enterGroups,
  LANES,
  list,
  paddedSelection,
  selection,
  TEAM_CHANNELS,
  TEAMS,
  THREADS,
  type ThinBlock,
  teamSums,
  variantKey,
  weightBinding,
} from "./thin-block.webgpu.ts";

/**
 * u = SiLU(conv(inProj_u (norm x))), z = inProj_z (norm x), and a part of xProj u. A workgroup has 16 channels. Threads of a team share
 * the rows of their channels; the norm is a factor that each team works out anew: x is in the cache, a dispatch of its own would cost more.
 */
export function enterProgram(block: ThinBlock): Program {
  const { rows, inProjBias, convBias, subgroups } = block;
  const key = `${variantKey(block)}${inProjBias ? " inBias" : ""}${convBias ? " bias" : ""}`;
  return programNamed(`mambaBlockStep enter ${key}`, () => {
    const [inProj, xProj] = [weightBinding(block, "inProj"), weightBinding(block, "xProj")];
    return {
      ...(subgroups ? { requires: ["subgroups"] } : {}),
      bindings: [
        { name: "x", type: "vec4<f32>" },
        { name: "normWeight", type: "vec4<f32>" },
        inProj.binding,
        ...(inProjBias ? [{ name: "inProjBias", type: "f32" } as const] : []),
        { name: "convWeight", type: "f32" },
        ...(convBias ? [{ name: "convBias", type: "f32" } as const] : []),
        xProj.binding,
        { name: "conv", type: "f32", write: true },
        { name: "work", type: "f32", write: true },
      ],
      params: [
        ...(["xAt:u32", "normWeightAt:u32", "inProjAt:u32", "xProjAt:u32", "inProjBiasAt:u32"] as const),
        ...(["convWeightAt:u32", "convBiasAt:u32", "convAt:u32", "epsilon:f32"] as const),
      ],
      workgroup: THREADS,
      declarations: `
${inProj.load}
${xProj.load}
${wgslMath("sigmoid")}
${projectionSums(block).declarations}
var<workgroup> us: array<f32, ${rows * CHANNELS}>;`,
      body: `${projectionCode(block)}\n${convolutionCode(block)}\n${selectionCode(block)}`,
    };
  });
}

/** Sums of a row: u of a team's channels, z of them, squares of x. */
const ROW_SUMS = 2 * TEAM_CHANNELS + 1;

function projectionSums({ rows, subgroups }: ThinBlock): { declarations: string; code: string } {
  const values = Array.from({ length: rows }, (_, row) => [
    ...Array.from({ length: ROW_SUMS - 1 }, (_, s) => `sum${row}_${s}`),
    `squares${row}`,
  ]);
  return teamSums(values.flat(), THREADS, subgroups);
}

/** WGSL: the products of inProj and x times the norm's weight in `totals`, with the squares that the norm's factor is made of. */
function projectionCode(block: ThinBlock): string {
  const { rows, dModel, dInner, window } = block;
  const starts = Array.from({ length: 2 * TEAM_CHANNELS }, (_, i) => `start${i}`);
  const dots = dotsCode({
    ...{ weight: "inProj", starts, rows, fours: dModel / 4 },
    x: (row, k) => `x[p.xAt + ${row * (dModel / 4)}u + ${k}]`,
    scale: (k) => `normWeight[p.normWeightAt + ${k}]`,
  });
  return `
  let own = lane % ${LANES}u;
  let team = lane / ${LANES}u;
  let firstChannel = group * ${CHANNELS}u;
  ${starts
    .map((start, i) => {
      const part = i < TEAM_CHANNELS ? 0 : dInner;
      const channel = `min(firstChannel + team * ${TEAM_CHANNELS}u + ${i % TEAM_CHANNELS}u, ${dInner - 1}u)`;
      return `let ${start} = p.inProjAt + (${part}u + ${channel}) * ${dModel / 4}u;`;
    })
    .join("\n")}
  // loads that need nothing: they arrive while the products are worked out
  let row = lane / ${CHANNELS}u;
  let channel = firstChannel + lane % ${CHANNELS}u;
  let hasChannel = lane < ${rows * CHANNELS}u && channel < ${dInner}u;
  let window = p.convAt + row * ${(window - 1) * dInner}u + channel;
  ${list(window - 1, (i) => `var past${i} = 0.0;`)}
  if (hasChannel) { ${list(window - 1, (i) => `past${i} = conv[window + ${i * dInner}u];`, " ")} }
  ${list(CHANNELS / 4, (v) => `let selected${v} = load_xProj(p.xProjAt + min(lane, ${selection(block) - 1}u) * ${dInner / 4}u + min(firstChannel / 4u + ${v}u, ${dInner / 4 - 1}u));`)}
  ${dots}
  ${projectionSums(block).code}`;
}

/** WGSL: a thread for each row and channel moves the window on and leaves u in `us`. */
function convolutionCode({ rows, dModel, dInner, window, inProjBias, convBias }: ThinBlock): string {
  const bias = (part: number): string => (inProjBias ? ` + inProjBias[p.inProjBiasAt + ${part}u + channel]` : "");
  return `
  if (lane < ${rows * CHANNELS}u) {
    var u = 0.0;
    if (hasChannel) {
      let inTeam = lane % ${CHANNELS}u;
      let at = (row * ${ROW_SUMS}u + inTeam % ${TEAM_CHANNELS}u) * ${TEAMS}u + inTeam / ${TEAM_CHANNELS}u;
      let squares = totals[(row * ${ROW_SUMS}u + ${ROW_SUMS - 1}u) * ${TEAMS}u];
      let factor = 1.0 / sqrt(squares / ${dModel}.0 + p.epsilon);
      let input = totals[at] * factor${bias(0)};
      let z = totals[at + ${TEAM_CHANNELS * TEAMS}u] * factor${bias(dInner)};
      let weight = p.convWeightAt + channel * ${window}u;
      var s = ${convBias ? "convBias[p.convBiasAt + channel]" : "0.0"};
      ${list(window - 1, (i) => `s += convWeight[weight + ${i}u] * past${i};`)}
      s += convWeight[weight + ${window - 1}u] * input;
      u = s * sigmoidOf(s);
      ${list(window - 1, (i) => `conv[window + ${i * dInner}u] = ${i < window - 2 ? `past${i + 1}` : "input"};`)}
      work[row * ${dInner}u + channel] = u;
      work[${rows * dInner}u + row * ${dInner}u + channel] = z;
    }
    us[lane] = u;
  }
  workgroupBarrier();`;
}

/** WGSL: what the workgroup's channels give to each sum of xProj. */
function selectionCode(block: ThinBlock): string {
  const { rows, dInner } = block;
  const wide = selection(block);
  const fourOf = (at: number): string => `vec4<f32>(${list(4, (i) => `us[${at + i}]`, ", ")})`;
  const parts = (row: number): string =>
    list(CHANNELS / 4, (v) => `dot(w${v}, ${fourOf(row * CHANNELS + 4 * v)})`, " + ");
  const place = (row: number): string =>
    `work[${2 * rows * dInner}u + (${row * enterGroups(block)}u + group) * ${paddedSelection(block)}u + o]`;
  const give = list(rows, (row) => `${place(row)} = ${parts(row)};`);
  const again = `
  for (var o = lane + ${THREADS}u; o < ${wide}u; o += ${THREADS}u) {
    ${list(CHANNELS / 4, (v) => `let w${v} = load_xProj(p.xProjAt + o * ${dInner / 4}u + min(firstChannel / 4u + ${v}u, ${dInner / 4 - 1}u));`)}
    ${give}
  }`;
  return `
  if (lane < ${wide}u) {
    let o = lane;
    ${list(CHANNELS / 4, (v) => `let w${v} = selected${v};`)}
    ${give}
  }
  ${wide > THREADS ? again : ""}`;
}
