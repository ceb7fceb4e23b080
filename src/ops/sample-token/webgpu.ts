import { type Program, programNamed, type WebgpuKernel, wgslMath } from "../../backends/webgpu/index.ts";
import { philoxCode } from "../random/webgpu.ts";

import {
  keepCode,
  rowCode,
  SUMMED,
  searchCode,
  shareCode,
  sumsCode,
  TEAMS,
  TRIED,
  teamsCode,
  WORKGROUP,
} from "./search.webgpu.ts";

/** WGSL: whether an id is a candidate, given how many of the edge's key come before it; `weight` is then what it is drawn by. */
const candidateCode = `
    let bits = bitsAt(id);
    let key = keyOf(bits);
    let weight = weightOf(bits);
    let isEdge = key == edge;
    let isOwn = (key > edge || (isEdge && before < ties)) && weight >= p.minP;
    before += select(0.0, 1.0, isEdge);`;

/** A workgroup has a row; its threads have ranges of ids, so that sums go up in their order. */
const drawProgram = (): Program =>
  programNamed("sampleToken draw", () => ({
    bindings: [
      { name: "logits", type: "u32" },
      { name: "count", type: "i32" },
      { name: "ids", type: "i32", write: true },
      { name: "history", type: "i32", write: true },
      { name: "draws", type: "u32", write: true },
    ],
    params: [
      ...(["batch:u32", "vocab:u32", "slots:u32", "topK:u32", "temperature:f32", "topP:f32", "minP:f32"] as const),
      ...(["seedLow:u32", "seedHigh:u32", "logitsOffset:u32", "logitsRow:u32"] as const),
      ...(["idsOffset:u32", "historyOffset:u32", "countOffset:u32", "drawsOffset:u32"] as const),
    ],
    workgroup: WORKGROUP,
    declarations: `
${wgslMath("exp")}
${philoxCode}
${rowCode}
${keepCode}
var<workgroup> addends: array<f32, ${SUMMED * WORKGROUP}>;
var<workgroup> sums: array<f32, ${Math.max(TRIED, 4)}>;
var<workgroup> ranges: array<f32, ${WORKGROUP}>;
var<workgroup> owner: u32;
var<workgroup> aim: f32;`,
    body: `
  start = p.logitsOffset + group * p.logitsRow;
  let place = p.historyOffset + u32(count[p.countOffset]) % p.slots * p.batch + group;
  ${largestCode}
  var edge = 0u;
  var ties = 4294967296.0;
  var share = 1.0;
  if (p.topK > 0u && p.topK < p.vocab) { ${searchCode(false, "f32(p.topK)")} }
  if (p.topP < 1.0) { ${totalCode} ${searchCode(true, "p.topP * sums[0]")} }
  ${rangeCode}`,
  }));

/** WGSL: `most`, the largest logit; ends a row that has nothing to draw from. */
const largestCode = `
  var own = 0u;
  var invalid = 0u;
  for (var id = lane; id < p.vocab; id += ${WORKGROUP}u) {
    let bits = bitsAt(id);
    if (bits == 0xff800000u) { continue; }
    if ((bits & 0x7f800000u) == 0x7f800000u) { invalid = 1u; }
    own = max(own, keyOf(bits));
  }
  // keys in two halves, which float32 holds
  addends[lane] = f32(select(own, 0xffffffffu, invalid == 1u) >> 16u);
  addends[${WORKGROUP}u + lane] = f32(own & 0xffffu);
  workgroupBarrier();
  // first each of some threads goes through as many, then one through what is left
  if (lane < ${TEAMS}u) { keepLargest(lane * ${WORKGROUP / TEAMS}u, 1u, ${WORKGROUP / TEAMS}u); }
  workgroupBarrier();
  if (lane == 0u) {
    keepLargest(0u, ${WORKGROUP / TEAMS}u, ${TEAMS}u);
    sums[0] = addends[0];
    sums[1] = addends[${WORKGROUP}];
  }
  workgroupBarrier();
  let largest = (u32(workgroupUniformLoad(&sums)[0]) << 16u) | u32(workgroupUniformLoad(&sums)[1]);
  if (largest == 0u || largest >= 0xff800000u) {
    if (lane == 0u) {
      ids[p.idsOffset + group] = 0;
      history[place] = -1;
    }
    return;
  }
  most = bitcast<f32>(bitsOf(largest));`;

/** WGSL: `sums[0]`, the sum of candidates' weights. */
const totalCode = `
    var whole = 0.0;
    for (var id = lane; id < p.vocab; id += ${WORKGROUP}u) {
      let bits = bitsAt(id);
      let key = keyOf(bits);
      if (key >= edge) { whole += ${shareCode(true)}; }
    }
    ${sumsCode(["whole"])}`;

/** WGSL: draws among the candidates. */
const rangeCode = `
  let size = (p.vocab + ${WORKGROUP - 1}u) / ${WORKGROUP}u;
  let first = min(lane * size, p.vocab);
  let end = min(first + size, p.vocab);
  var equals = 0.0;
  for (var id = first; id < end; id++) { equals += select(0.0, 1.0, keyOf(bitsAt(id)) == edge); }
  ranges[lane] = equals;
  ${teamsCode}
  var earlier = 0.0;
  for (var i = 0u; i < lane / ${WORKGROUP / TEAMS}u; i++) { earlier += addends[i]; }
  for (var i = lane / ${WORKGROUP / TEAMS}u * ${WORKGROUP / TEAMS}u; i < lane; i++) { earlier += ranges[i]; }
  var before = earlier;
  var sum = 0.0;
  for (var id = first; id < end; id++) {
    ${candidateCode}
    sum += select(0.0, weight, isOwn);
  }
  workgroupBarrier();
  ranges[lane] = sum;
  ${teamsCode}
  if (lane == 0u) {
    var total = 0.0;
    for (var i = 0u; i < ${TEAMS}u; i++) { total += addends[i]; }
    let word = draws[p.drawsOffset + 2u * group + 1u];
    draws[p.drawsOffset + 2u * group + 1u] = word + 1u;
    aim = f32(streamWord(word, p.seedLow, p.seedHigh, draws[p.drawsOffset + 2u * group]) >> 8u) * 5.9604645e-8 * total;
    var reached = 0.0;
    var team = 0u;
    for (var i = 0u; i < ${TEAMS}u; i++) {
      if (addends[i] == 0.0) { continue; }
      team = i;
      if (reached + addends[i] > aim) { break; }
      reached += addends[i];
    }
    // where rounding leaves nothing beyond the aim, the last of the team
    for (var i = team * ${WORKGROUP / TEAMS}u; i < (team + 1u) * ${WORKGROUP / TEAMS}u; i++) {
      if (ranges[i] == 0.0) { continue; }
      owner = i;
      if (reached + ranges[i] > aim) { break; }
      reached += ranges[i];
    }
    aim -= reached;
  }
  workgroupBarrier();
  if (lane != owner) { return; }
  before = earlier;
  sum = 0.0;
  var chosen = 0u;
  for (var id = first; id < end; id++) {
    ${candidateCode}
    if (!isOwn || weight == 0.0) { continue; }
    chosen = id;
    sum += weight;
    if (sum > aim) { break; }
  }
  ids[p.idsOffset + group] = i32(chosen);
  history[place] = i32(chosen);`;

const countProgram: Program = {
  name: "sampleToken count",
  bindings: [{ name: "count", type: "i32", write: true }],
  params: ["countOffset:u32"],
  workgroup: 1,
  body: "count[p.countOffset] += 1;",
};

const sampleToken: WebgpuKernel = (context, { inputs, axes, params }) => {
  const given = ["logits", "count", "ids", "history", "draws"].map((name) => inputs[name]!);
  const [logits, count, ids, history, draws] = given;
  const { batch, vocab, slots } = axes as Record<"batch" | "vocab" | "slots", number>;
  const { temperature, topK, topP, minP, seedLow, seedHigh } = params as Record<string, number>;
  const values = {
    ...{ batch, vocab, slots, topK: topK!, temperature: temperature!, topP: topP!, minP: minP! },
    ...{ seedLow: seedLow!, seedHigh: seedHigh!, logitsOffset: logits!.offset, logitsRow: logits!.strides[0]! },
    ...{ idsOffset: ids!.offset, historyOffset: history!.offset },
    ...{ countOffset: count!.offset, drawsOffset: draws!.offset },
  };
  context.dispatch(drawProgram(), given, values, batch);
  context.dispatch(countProgram, [count!], { countOffset: count!.offset }, 1);
};

/** WebGPU kernels of this folder. */
export const sampleTokenWebgpu = { sampleToken } as const satisfies Record<string, WebgpuKernel>;
