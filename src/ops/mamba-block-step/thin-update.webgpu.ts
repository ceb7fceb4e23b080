import { type GpuBinding, type Program, programNamed, wgslMath } from "../../backends/webgpu/index.ts";
import {
  enterGroups,
  list,
  paddedSelection,
  stateLanes,
  THREADS,
  type ThinBlock,
  updateChannels,
  variantKey,
  weightBinding,
} from "./thin-block.webgpu.ts";

/**
 * delta, the step of the recurrence, and y = (C h + D u) SiLU(z). A workgroup has some channels of one row; it adds up the parts of xProj's
 * sums anew, which are in the cache.
 */
export function updateProgram(block: ThinBlock): Program {
  const { dtRank, dState, mixerNorm } = block;
  return programNamed(`mambaBlockStep update ${variantKey(block)}`, () => {
    const lanes = stateLanes(block);
    const isWide = dtRank % 4 === 0;
    const dtProj = isWide
      ? weightBinding(block, "dtProj")
      : { binding: { name: "dtProj", type: "f32" } as const, load: "" };
    const state: GpuBinding["type"] = lanes > 1 ? "vec4<f32>" : "f32";
    return {
      ...(isShuffled(block) ? { requires: ["subgroups"] } : {}),
      bindings: [
        { name: "work", type: "vec4<f32>" },
        dtProj.binding,
        { name: "dtBias", type: "f32" },
        { name: "A", type: state },
        { name: "D", type: "f32" },
        { name: "ssm", type: state, write: true },
        { name: "gated", type: "f32", write: true },
      ],
      params: [...(["dtProjAt:u32", "dtBiasAt:u32", "AAt:u32", "DAt:u32", "ssmAt:u32", "mixerEpsilon:f32"] as const)],
      workgroup: THREADS,
      declarations: `
${dtProj.load}
${wgslMath("exp", "softplus", "sigmoid")}
var<workgroup> parts: array<vec4<f32>, ${sumParts(block) * (paddedSelection(block) / 4)}>;
var<workgroup> selection: array<f32, ${paddedSelection(block)}>;
${isShuffled(block) ? "" : `var<workgroup> shared_sums: array<f32, ${THREADS}>;`}
fn workAt(i: u32) -> f32 { return work[i / 4u][i % 4u]; }`,
      body: `${placeCode(block)}
${sumsCode(block)}
${mixerNorm ? mixerNormCode(dtRank, dState) : ""}
${recurrenceCode(block)}`,
    };
  });
}

/** Threads that share a column of the parts of xProj's sums. */
const sumParts = (block: ThinBlock): number => Math.max(1, Math.floor((4 * THREADS) / paddedSelection(block)));

/** WGSL: what a thread works at, and its loads that need nothing. */
function placeCode(block: ThinBlock): string {
  const { rows, dInner, dState, dtRank } = block;
  const lanes = stateLanes(block);
  const channels = updateChannels(block);
  const blocks = Math.ceil(dInner / channels);
  const fours = dtRank / 4;
  const dtLoads =
    dtRank % 4 === 0
      ? list(
          Math.ceil(fours / lanes),
          (i) => `let step${i} = load_dtProj(p.dtProjAt + c * ${fours}u + min(part + ${i * lanes}u, ${fours - 1}u));`,
        )
      : "";
  const stateLoads =
    lanes > 1
      ? `let at = p.ssmAt + ((row * ${dInner}u + c) * ${dState}u) / 4u + part;
  let before = ssm[at];
  let decay = A[p.AAt + c * ${dState / 4}u + part];`
      : "";
  return `
  let row = min(group / ${blocks}u, ${rows - 1}u);
  let place = (group % ${blocks}u) * ${channels}u + lane / ${lanes}u;
  let isOwn = place < ${dInner}u && group < ${blocks * rows}u;
  let c = min(place, ${dInner - 1}u);
  let part = lane % ${lanes}u;
  ${dtLoads}
  ${stateLoads}
  let u = workAt(row * ${dInner}u + c);
  let z = workAt(${rows * dInner}u + row * ${dInner}u + c);
  let bias = dtBias[p.dtBiasAt + c];
  let skip = D[p.DAt + c];`;
}

/** WGSL: `selection`, the sums of xProj of this row. */
function sumsCode(block: ThinBlock): string {
  const { rows, dInner } = block;
  const columns = paddedSelection(block) / 4;
  const parts = sumParts(block);
  const groups = enterGroups(block);
  // written out: a loop would wait for each part before it asks for the next
  const partAt = (i: number): string => {
    const part = `work[first + min(g + ${i * parts}u, ${groups - 1}u) * ${columns}u]`;
    return (i + 1) * parts <= groups ? part : `select(vec4<f32>(0.0), ${part}, g + ${i * parts}u < ${groups}u)`;
  };
  return `
  if (lane < ${parts * columns}u) {
    let first = ${(2 * rows * dInner) / 4}u + row * ${groups * columns}u + lane % ${columns}u;
    let g = lane / ${columns}u;
    ${list(Math.ceil(groups / parts), (i) => `let sum${i} = ${partAt(i)};`)}
    parts[lane] = ${list(Math.ceil(groups / parts), (i) => `sum${i}`, " + ")};
  }
  workgroupBarrier();
  if (lane < ${columns}u) {
    var sum = vec4<f32>(0.0);
    for (var i = 0u; i < ${parts}u; i++) { sum += parts[i * ${columns}u + lane]; }
    ${list(4, (i) => `selection[4u * lane + ${i}u] = sum[${i}];`)}
  }
  workgroupBarrier();`;
}

/** WGSL: the weightless norms of delta, B and C, each by one thread: they are short. */
export function mixerNormCode(dtRank: number, dState: number): string {
  return `
  if (lane < 3u) {
    let start = select(${dtRank}u + (lane - 1u) * ${dState}u, 0u, lane == 0u);
    let size = select(${dState}u, ${dtRank}u, lane == 0u);
    var squares = 0.0;
    for (var i = start; i < start + size; i++) { squares += selection[i] * selection[i]; }
    let factor = 1.0 / sqrt(squares / f32(size) + p.mixerEpsilon);
    for (var i = start; i < start + size; i++) { selection[i] *= factor; }
  }
  workgroupBarrier();`;
}

/** WGSL: delta of a thread's channel as far as its part of the sum goes. */
function deltaCode(block: ThinBlock): string {
  const { dtRank } = block;
  const lanes = stateLanes(block);
  if (dtRank % 4 !== 0) {
    return `for (var k = part; k < ${dtRank}u; k += ${lanes}u) { raw += dtProj[p.dtProjAt + c * ${dtRank}u + k] * selection[k]; }`;
  }
  const fours = dtRank / 4;
  const fourOf = (at: string): string => `vec4<f32>(${list(4, (i) => `selection[${at} + ${i}u]`, ", ")})`;
  return list(Math.ceil(fours / lanes), (i) => {
    const k = `part + ${i * lanes}u`;
    const add = `raw += dot(step${i}, ${fourOf(`4u * (${k})`)});`;
    return (i + 1) * lanes <= fours ? add : `if (${k} < ${fours}u) { ${add} }`;
  });
}

/** WGSL: `value` becomes its sum over `lanes` neighbours, a power of two within a subgroup. */
export function shuffledSum(value: string, lanes: number): string {
  const masks = Array.from({ length: Math.log2(lanes) }, (_, i) => 2 ** i);
  return masks.map((mask) => `${value} += subgroupShuffleXor(${value}, ${mask}u);`).join(" ");
}

/** Whether threads that share a channel add up among themselves. */
const isShuffled = (block: ThinBlock): boolean => block.subgroups && [2, 4, 8, 16, 32].includes(stateLanes(block));

/** WGSL: neighbours that share a channel add up `value`. */
function sharedSum(block: ThinBlock, value: string, total: string): string {
  const lanes = stateLanes(block);
  if (lanes === 1) return `let ${total} = ${value};`;
  if (isShuffled(block)) return `var ${total} = ${value}; ${shuffledSum(total, lanes)}`;
  return `
  shared_sums[lane] = ${value};
  workgroupBarrier();
  var ${total} = 0.0;
  for (var i = 0u; i < ${lanes}u; i++) { ${total} += shared_sums[lane - part + i]; }
  workgroupBarrier();`;
}

function recurrenceCode(block: ThinBlock): string {
  const { dInner, dState, dtRank } = block;
  const lanes = stateLanes(block);
  const four = (at: number): string => `vec4<f32>(${list(4, (i) => `selection[${at + i}u + 4u * part]`, ", ")})`;
  const wide = `
  let exponent = delta * decay;
  let kept = vec4<f32>(expOf(exponent.x), expOf(exponent.y), expOf(exponent.z), expOf(exponent.w));
  let next = kept * before + delta * u * ${four(dtRank)};
  if (isOwn) { ssm[at] = next; }
  let own = dot(${four(dtRank + dState)}, next);`;
  const narrow = `
  var own = 0.0;
  let at = p.ssmAt + (row * ${dInner}u + c) * ${dState}u;
  if (isOwn) {
    for (var n = 0u; n < ${dState}u; n++) {
      let next = expOf(delta * A[p.AAt + c * ${dState}u + n]) * ssm[at + n] + delta * u * selection[${dtRank}u + n];
      ssm[at + n] = next;
      own = fma(selection[${dtRank + dState}u + n], next, own);
    }
  }`;
  return `
  var raw = 0.0;
  ${deltaCode(block)}
  ${sharedSum(block, "raw", "projected")}
  let biased = projected + bias;
  let delta = select(softplusOf(biased), biased, biased > 20.0);
  ${lanes > 1 ? wide : narrow}
  ${sharedSum(block, "own", "output")}
  if (isOwn && part == 0u) { gated[row * ${dInner}u + c] = (output + skip * u) * z * sigmoidOf(z); }`;
}
