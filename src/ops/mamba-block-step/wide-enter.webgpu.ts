import { type Program, programNamed, wgslMath } from "../../backends/webgpu/index.ts";
import { halfWeight } from "../linear/weight.webgpu.ts";
import {
  type CoreStrip,
  FRAGMENT,
  lines,
  STRIP_THREADS,
  type StripPlan,
  SUM_FRAGMENT,
  stripCode,
  stripDeclarations,
  stripFragment,
  stripPlan,
  stripStore,
  VECTOR,
} from "../matmul/core-strip.webgpu.ts";
import { scalesOf } from "./thin-block.webgpu.ts";
import {
  ENTER_COLUMNS,
  enterTiles,
  paddedRows,
  paddedSelection,
  selection,
  sumsAt,
  THREADS,
  tileRows,
  variantKey,
  type WideBlock,
} from "./wide-block.webgpu.ts";

/** Rows that a thread has of its channel. */
const ROW_STEP = THREADS / ENTER_COLUMNS;

/**
 * u = SiLU(conv(inProj_u normed)) and a part of xProj u, or z = inProj_z normed: a workgroup has 32 of the rows of inProj for all rows
 * of x.
 */
export function wideEnterProgram(block: WideBlock): Program {
  const { inProjBias, convBias } = block;
  const key = `${variantKey(block)}${inProjBias ? " inBias" : ""}${convBias ? " bias" : ""}`;
  return programNamed(`mambaBlockStep wide enter, matrix cores ${key} ${block.storage}`, () => {
    const strip = stripOf(block);
    const plan = stripPlan(strip, block.storage);
    const inProj = halfWeight("inProj", block.formats.inProj, scalesOf(block, "inProj"));
    const xProj = halfWeight("xProj", block.formats.xProj, scalesOf(block, "xProj"));
    return {
      requires: ["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
      bindings: [
        { name: "normed", type: "vec4<u32>" },
        inProj.binding,
        ...(inProjBias ? [{ name: "inProjBias", type: "f32" } as const] : []),
        { name: "convWeight", type: "f32" },
        ...(convBias ? [{ name: "convBias", type: "f32" } as const] : []),
        xProj.binding,
        { name: "conv", type: "f32", write: true },
        { name: "out", type: "f32", write: true },
      ],
      params: [
        ...(["inProjAt:u32", "xProjAt:u32", "inProjBiasAt:u32"] as const),
        ...(["convWeightAt:u32", "convBiasAt:u32", "convAt:u32"] as const),
      ],
      workgroup: STRIP_THREADS,
      declarations: `${inProj.load}\n${xProj.load}\n${wgslMath("sigmoid")}\n${stripDeclarations(strip, plan)}`,
      body: bodyOf(block, strip, plan),
    };
  });
}

function stripOf(block: WideBlock): CoreStrip {
  const vectors = block.dModel / VECTOR;
  return {
    rows: tileRows(block),
    columns: ENTER_COLUMNS,
    inner: block.dModel,
    a: (row, vector) => `normed[(firstRow + ${row}) * ${vectors}u + ${vector}]`,
    b: (column, vector) => `halves_inProj(p.inProjAt + (firstColumn + ${column}) * ${vectors}u + ${vector})`,
  };
}

function bodyOf(block: WideBlock, strip: CoreStrip, plan: StripPlan): string {
  const { rows, dInner, window, inProjBias, convBias } = block;
  const tiles = enterTiles(block);
  const own = strip.rows / ROW_STEP;
  const parts = selectionParts(block, plan);
  const rowOf = (j: number): string => `firstRow + lane / ${ENTER_COLUMNS}u + ${j * ROW_STEP}u`;
  const pastAt = (j: number, i: number): string =>
    `conv[p.convAt + (${rowOf(j)}) * ${(window - 1) * dInner}u + ${i * dInner}u + column]`;
  const early = `
  ${lines(own, (j) => lines(window - 1, (i) => `var past${j}_${i} = 0.0;`))}
  ${lines(window, (i) => `var tap${i} = 0.0;`)}
  if (!isGate) {
    ${lines(own, (j) => `if (${rowOf(j)} < ${rows}u) { ${lines(window - 1, (i) => `past${j}_${i} = ${pastAt(j, i)};`)} }`)}
    ${lines(window, (i) => `tap${i} = convWeight[p.convWeightAt + column * ${window}u + ${i}u];`)}
  }
  let bias = ${convBias ? `convBias[p.convBiasAt + column % ${dInner}u]` : "0.0"};
  ${parts.load(0)}`;
  return `
  let firstRow = group / ${2 * tiles}u * ${strip.rows}u;
  let tile = group % ${2 * tiles}u;
  let firstColumn = tile * ${ENTER_COLUMNS}u;
  let isGate = tile >= ${tiles}u;
  let column = firstColumn + lane % ${ENTER_COLUMNS}u;
  ${stripCode(strip, plan, early)}
  ${stripStore(strip)}
  let added = ${inProjBias ? "inProjBias[p.inProjBiasAt + column]" : "0.0"};
  if (isGate) {
    ${lines(own, (j) => `if (${rowOf(j)} < ${rows}u) { out[${(paddedRows(block) - 1) * dInner}u + (${rowOf(j)}) * ${dInner}u + column] = stripSum(lane / ${ENTER_COLUMNS}u + ${j * ROW_STEP}u, lane % ${ENTER_COLUMNS}u) + added; }`)}
  } else {
    ${lines(
      own,
      (j) => `{
      let input = stripSum(lane / ${ENTER_COLUMNS}u + ${j * ROW_STEP}u, lane % ${ENTER_COLUMNS}u) + added;
      let s = bias ${Array.from({ length: window - 1 }, (_, i) => `+ tap${i} * past${j}_${i}`).join(" ")} + tap${window - 1} * input;
      let u = s * sigmoidOf(s);
      if (${rowOf(j)} < ${rows}u) {
        ${lines(window - 1, (i) => `${pastAt(j, i)} = ${i < window - 2 ? `past${j}_${i + 1}` : "input"};`)}
        out[(${rowOf(j)}) * ${dInner}u + column] = u;
      }
      edge[0][lane + ${j * THREADS}u] = u;
    }`,
    )}
    workgroupBarrier();
    ${packCode(strip, plan)}
    ${lines(parts.chunks, (chunk) => `${chunk > 0 ? `workgroupBarrier();\n${parts.load(chunk)}` : ""}${parts.sum(chunk)}`)}
  }`;
}

/** WGSL: u of the tile in float16, where the product of it reads it. */
function packCode({ rows, columns }: CoreStrip, { stride }: StripPlan): string {
  const perRow = columns / VECTOR;
  const pair = (i: number): string =>
    `pack2x16float(vec2<f32>(edge[0][8u * lane + ${2 * i}u], edge[0][8u * lane + ${2 * i + 1}u]))`;
  return `
    if (lane < ${rows * perRow}u) {
      let row = lane / ${perRow}u;
      aSlice[row / ${FRAGMENT}u][row % ${FRAGMENT}u * ${stride}u + lane % ${perRow}u] = vec4<u32>(${Array.from({ length: 4 }, (_, i) => pair(i)).join(", ")});
    }`;
}

/** WGSL of what the tile's channels give to each sum of xProj, as many columns at a time as weights of them find room in the slice. */
function selectionParts(block: WideBlock, { across, parts, stride }: StripPlan) {
  const { dInner } = block;
  const tiles = enterTiles(block);
  const padded = paddedSelection(block);
  const perRow = ENTER_COLUMNS / VECTOR;
  const shares = parts * across;
  const room = Math.floor((FRAGMENT * stride) / (FRAGMENT * (perRow + 1)));
  const fragments = Math.min(room, Math.ceil(padded / FRAGMENT / shares));
  const wide = fragments * FRAGMENT;
  const vectors = shares * wide * perRow;
  const at = (i: number): string => `(lane + ${i * STRIP_THREADS}u)`;
  const moves = Math.ceil(vectors / STRIP_THREADS);
  const load = (chunk: number): string =>
    lines(moves, (i) => {
      const row = `min(${chunk * shares * wide}u + ${at(i)} / ${perRow}u, ${selection(block) - 1}u)`;
      return `let selected${chunk}_${i} = halves_xProj(p.xProjAt + ${row} * ${dInner / VECTOR}u + firstColumn % ${dInner}u / ${VECTOR}u + ${at(i)} % ${perRow}u);`;
    });
  const put = (chunk: number, i: number): string => {
    const row = `${at(i)} / ${perRow}u`;
    return `if (${at(i)} < ${vectors}u) { bSlice[${row} / ${wide}u][${row} % ${wide}u * ${perRow + 1}u + ${at(i)} % ${perRow}u] = selected${chunk}_${i}; }`;
  };
  const multiply = (f: number, k: number): string =>
    `given = subgroupMatrixMultiplyAccumulate(${stripFragment("a", "down", (k * FRAGMENT) / VECTOR, stride)}, ${stripFragment("b", "bShare", f * FRAGMENT * (perRow + 1) + (k * FRAGMENT) / VECTOR, perRow + 1)}, given);`;
  const sum = (chunk: number): string => `
    ${lines(moves, (i) => put(chunk, i))}
    workgroupBarrier();
    ${lines(
      fragments,
      (f) => `{
      let place = ${chunk * shares * wide + f * FRAGMENT}u + bShare * ${wide}u;
      if (place < ${padded}u) {
        var given: ${SUM_FRAGMENT};
        ${lines(ENTER_COLUMNS / FRAGMENT, (k) => multiply(f, k))}
        subgroupMatrixStore<row_major>(&out, ${sumsAt(block)}u + ((firstRow + down * ${FRAGMENT}u) * ${tiles}u + tile) * ${padded}u + place, given, ${tiles * padded}u);
      }
    }`,
    )}`;
  return { chunks: Math.ceil(padded / (shares * wide)), load, sum };
}
