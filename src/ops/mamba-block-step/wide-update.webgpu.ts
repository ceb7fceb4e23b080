import { type Program, programNamed, wgslMath } from "../../backends/webgpu/index.ts";
import { list } from "./thin-block.webgpu.ts";
import { mixerNormCode, shuffledSum } from "./thin-update.webgpu.ts";
import {
  blockChannels,
  enterTiles,
  paddedRows,
  paddedSelection,
  stateLanes,
  sumsAt,
  THREADS,
  updateBlocks,
  updateSpans,
  variantKey,
  type WideBlock,
} from "./wide-block.webgpu.ts";

/**
 * delta, the step of the recurrence, and y = (C h + D u) SiLU(z) in float16. A workgroup has some blocks of channels of one row; it adds up
 * the parts of xProj's sums for all of them, while their states are on their way.
 */
export function wideUpdateProgram(block: WideBlock): Program {
  return programNamed(`mambaBlockStep wide update ${variantKey(block)}`, () => {
    const channels = blockChannels(block);
    return {
      requires: ["subgroups"],
      bindings: [
        { name: "work", type: "vec4<f32>" },
        { name: "dtProj", type: "vec2<u32>" },
        { name: "dtBias", type: "f32" },
        { name: "A", type: "vec4<f32>" },
        { name: "D", type: "f32" },
        { name: "ssm", type: "vec4<f32>", write: true },
        { name: "gated", type: "u32", write: true },
      ],
      params: [...(["dtProjAt:u32", "dtBiasAt:u32", "AAt:u32", "DAt:u32", "ssmAt:u32", "mixerEpsilon:f32"] as const)],
      workgroup: THREADS,
      declarations: `
${wgslMath("exp", "softplus", "sigmoid")}
var<workgroup> parts: array<vec4<f32>, ${sumParts(block) * (paddedSelection(block) / 4)}>;
var<workgroup> selection: array<f32, ${paddedSelection(block)}>;
var<workgroup> gates: array<f32, ${updateBlocks(block) * channels}>;
fn workAt(i: u32) -> f32 { return work[i / 4u][i % 4u]; }
fn wide(w: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y)); }`,
      body: `${placeCode(block)}
${sumsCode(block)}
${block.mixerNorm ? mixerNormCode(block.dtRank, block.dState) : ""}
${list(updateBlocks(block), (b) => recurrenceCode(block, b))}
${writeCode(block)}`,
    };
  });
}

/** Threads that share a column of the parts of xProj's sums. */
const sumParts = (block: WideBlock): number => Math.max(1, Math.floor(THREADS / (paddedSelection(block) / 4)));

/** WGSL: what a thread works at, and its loads that need nothing. */
function placeCode(block: WideBlock): string {
  const { dInner, dState, dtRank } = block;
  const lanes = stateLanes(block);
  const channels = blockChannels(block);
  const fours = dtRank / 4;
  return `
  let row = group / ${updateSpans(block)}u;
  let firstChannel = group % ${updateSpans(block)}u * ${updateBlocks(block) * channels}u;
  let part = lane % ${lanes}u;
  ${list(
    updateBlocks(block),
    (b) => `
  let c${b} = min(firstChannel + ${b * channels}u + lane / ${lanes}u, ${dInner - 1}u);
  let at${b} = p.ssmAt + (row * ${dInner}u + c${b}) * ${dState / 4}u + part;
  let before${b} = ssm[at${b}];
  let decay${b} = A[p.AAt + c${b} * ${dState / 4}u + part];
  ${list(Math.ceil(fours / lanes), (i) => `let step${b}_${i} = dtProj[p.dtProjAt + c${b} * ${fours}u + min(part + ${i * lanes}u, ${fours - 1}u)];`)}
  let u${b} = workAt(row * ${dInner}u + c${b});
  let z${b} = workAt(${paddedRows(block) * dInner}u + row * ${dInner}u + c${b});
  let bias${b} = dtBias[p.dtBiasAt + c${b}];
  let skip${b} = D[p.DAt + c${b}];`,
  )}`;
}

/** WGSL: `selection`, the sums of xProj of this row. */
function sumsCode(block: WideBlock): string {
  const columns = paddedSelection(block) / 4;
  const parts = sumParts(block);
  const tiles = enterTiles(block);
  // written out: a loop would wait for each part before it asks for the next
  const partAt = (i: number): string => {
    const part = `work[first + min(g + ${i * parts}u, ${tiles - 1}u) * ${columns}u]`;
    return (i + 1) * parts <= tiles ? part : `select(vec4<f32>(0.0), ${part}, g + ${i * parts}u < ${tiles}u)`;
  };
  const sum = (at: string): string => `
    let first = ${sumsAt(block) / 4}u + row * ${tiles * columns}u + ${at} % ${columns}u;
    let g = ${at} / ${columns}u;
    ${list(Math.ceil(tiles / parts), (i) => `let sum${i} = ${partAt(i)};`)}
    parts[${at}] = ${list(Math.ceil(tiles / parts), (i) => `sum${i}`, " + ")};`;
  return `
  ${parts * columns <= THREADS ? `if (lane < ${parts * columns}u) { ${sum("lane")} }` : `for (var column = lane; column < ${columns}u; column += ${THREADS}u) { ${sum("column")} }`}
  workgroupBarrier();
  for (var column = lane; column < ${columns}u; column += ${THREADS}u) {
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < ${parts}u; i++) { sum += parts[i * ${columns}u + column]; }
    ${list(4, (i) => `selection[4u * column + ${i}u] = sum[${i}];`)}
  }
  workgroupBarrier();`;
}

/** WGSL: one block of channels. */
function recurrenceCode(block: WideBlock, b: number): string {
  const { dInner, dState, dtRank } = block;
  const lanes = stateLanes(block);
  const channels = blockChannels(block);
  const fours = dtRank / 4;
  const four = (at: string): string => `vec4<f32>(${list(4, (i) => `selection[${at} + ${i}u]`, ", ")})`;
  const raw = (i: number): string => {
    const add = `raw += dot(wide(step${b}_${i}), ${four(`4u * (part + ${i * lanes}u)`)});`;
    return (i + 1) * lanes <= fours ? add : `if (part + ${i * lanes}u < ${fours}u) { ${add} }`;
  };
  return `{
    var raw = 0.0;
    ${list(Math.ceil(fours / lanes), raw)}
    ${shuffledSum("raw", lanes)}
    let biased = raw + bias${b};
    let delta = select(softplusOf(biased), biased, biased > 20.0);
    let exponent = delta * decay${b};
    let kept = vec4<f32>(expOf(exponent.x), expOf(exponent.y), expOf(exponent.z), expOf(exponent.w));
    let next = kept * before${b} + delta * u${b} * ${four(`${dtRank}u + 4u * part`)};
    if (firstChannel + ${b * channels}u + lane / ${lanes}u < ${dInner}u) { ssm[at${b}] = next; }
    var output = dot(${four(`${dtRank + dState}u + 4u * part`)}, next);
    ${shuffledSum("output", lanes)}
    if (part == 0u) { gates[${b * channels}u + lane / ${lanes}u] = (output + skip${b} * u${b}) * z${b} * sigmoidOf(z${b}); }
  }`;
}

/** WGSL: y of all blocks, two channels a word. */
function writeCode(block: WideBlock): string {
  const { dInner } = block;
  const pairs = (updateBlocks(block) * blockChannels(block)) / 2;
  return `
  workgroupBarrier();
  for (var i = lane; i < ${pairs}u; i += ${THREADS}u) {
    if (firstChannel + 2u * i < ${dInner}u) {
      gated[(row * ${dInner}u + firstChannel) / 2u + i] = pack2x16float(vec2<f32>(gates[2u * i], gates[2u * i + 1u]));
    }
  }`;
}
