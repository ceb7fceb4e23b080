import type { GpuType, Program } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";
import { type Contiguous, productParams, whichTile } from "./tiled.webgpu.ts";

/** One side of a product for matrix cores. */
export interface CoreSide {
  readonly along: Contiguous;
  /** Whether it lies in float16, eight elements a vector; float32 is rounded on its way into workgroup memory. */
  readonly isHalf: boolean;
  /** Whether its rows, or columns for the right side, fill whole tiles. */
  readonly isWhole: boolean;
}

/** What a program for matrix cores is made for. */
export interface MatrixCoresVariant {
  readonly a: CoreSide;
  readonly b: CoreSide;
  /** Whether the summed axis, and each part of it, fills whole slices. */
  readonly isInnerWhole: boolean;
  /** Whether rows of y begin at multiples of four elements, as fragments that are written at once must. */
  readonly isAligned: boolean;
  readonly hasBias: boolean;
  /** y += a b. */
  readonly adds: boolean;
}

/** Rows and columns of y that a workgroup works out, in four subgroups of 64 x 64. */
export const CORE_TILE = 128;
/** Depth of the slices in workgroup memory. */
export const CORE_DEPTH = 32;
const CORE_THREADS = 128;
/** Rows and columns of a subgroup. */
const SHARE = 64;
/** Elements that a fragment has along each axis. */
const FRAGMENT = 16;
/** What keeps rows of a slice in different banks. */
const PADDING = 8;
const FRAGMENTS = SHARE / FRAGMENT;
const RESULT = `subgroup_matrix_result<f32, ${FRAGMENT}, ${FRAGMENT}>`;

const lines = (count: number, code: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => code(i)).join("\n");
const eachFragment = (code: (i: number, j: number) => string): string =>
  lines(FRAGMENTS, (i) => lines(FRAGMENTS, (j) => code(i, j)));

/** Elements that a thread moves at a time: 16 bytes of what lies in memory. */
const vectorOf = ({ isHalf }: CoreSide): number => (isHalf ? 8 : 4);
/** Elements of a row of a slice as it lies in memory: along the summed axis if that is contiguous, else along the other. */
const rowOf = ({ along }: CoreSide): number => (along === "inner" ? CORE_DEPTH : SHARE) + PADDING;
/** Vectors of what one subgroup needs of a slice. */
const shareOf = (side: CoreSide): number =>
  ((side.along === "inner" ? SHARE : CORE_DEPTH) * rowOf(side)) / vectorOf(side);
const movesOf = (side: CoreSide): number => (CORE_TILE * CORE_DEPTH) / vectorOf(side) / CORE_THREADS;

/** Which elements of a tile the i-th vector of a thread holds, and where in which share of the slice it goes. */
function placeOf(side: CoreSide, i: number): { m: string; k: string; slot: string } {
  const vector = vectorOf(side);
  const at = `(lane + ${i * CORE_THREADS}u)`;
  if (side.along === "outer") {
    const perRow = CORE_TILE / vector;
    const [m, k] = [`${at} % ${perRow}u * ${vector}u`, `${at} / ${perRow}u`];
    return { m, k, slot: `[${m} / ${SHARE}u][(${k} * ${rowOf(side)}u + ${m} % ${SHARE}u) / ${vector}u]` };
  }
  const perRow = CORE_DEPTH / vector;
  const row = `(${at} / ${perRow}u)`;
  // rows that are written together lie four apart, and so in different banks
  const m = `(${row} % 2u * 4u + ${row} / 2u % 4u + ${row} / 8u * 8u)`;
  const k = `${at} % ${perRow}u * ${vector}u`;
  return { m, k, slot: `[${m} / ${SHARE}u][(${m} % ${SHARE}u * ${rowOf(side)}u + ${k}) / ${vector}u]` };
}

function load(name: "a" | "b", side: CoreSide, i: number, isInnerWhole: boolean): string {
  const [outer, outerStride, innerStride, first] =
    name === "a" ? ["p.rows", "p.aRow", "p.aColumn", "firstRow"] : ["p.columns", "p.bColumn", "p.bRow", "firstColumn"];
  const vector = vectorOf(side);
  const place = placeOf(side, i);
  const last =
    side.along === "inner" ? `${outer} - 1u` : `(${outer} + ${vector - 1}u) / ${vector}u * ${vector}u - ${vector}u`;
  const m = side.isWhole ? `${first} + ${place.m}` : `min(${first} + ${place.m}, ${last})`;
  const k = `start + ${place.k}`;
  const element = `${name}[(${name}Start + (${m}) * ${outerStride} + (${k}) * ${innerStride}) / ${vector}u]`;
  if (isInnerWhole) return `${name}Next${i} = ${element};`;
  return `${name}Next${i} = ${typeOf(side)}(0); if (${k} < endInner) { ${name}Next${i} = ${element}; }`;
}

function place(name: "a" | "b", side: CoreSide, i: number): string {
  const next = `${name}Next${i}`;
  return `${name}Slice${placeOf(side, i).slot} = ${side.isHalf ? next : `bitcast<vec2<u32>>(vec4<f16>(${next}))`};`;
}

function fragment(name: "a" | "b", side: CoreSide, i: number, k: number): string {
  const [kind, share] = name === "a" ? ["left", "down"] : ["right", "across"];
  const row = rowOf(side);
  const offset = side.along === "inner" ? i * FRAGMENT * row + k : k * row + i * FRAGMENT;
  const major = (name === "a") === (side.along === "outer") ? "col_major" : "row_major";
  const vector = vectorOf(side);
  return `subgroupMatrixLoad<subgroup_matrix_${kind}<f16, ${FRAGMENT}, ${FRAGMENT}>, ${major}>(&${name}Slice[${share}], ${offset / vector}u, ${row / vector}u)`;
}

const step = (a: CoreSide, b: CoreSide, k: number): string => `{
  ${lines(FRAGMENTS, (j) => `let right${j} = ${fragment("b", b, j, k)};`)}
  ${lines(FRAGMENTS, (i) => `{ let left = ${fragment("a", a, i, k)}; ${lines(FRAGMENTS, (j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left, right${j}, sum${i}_${j});`)} }`)}
}`;

const typeOf = ({ isHalf }: CoreSide): GpuType => (isHalf ? "vec4<u32>" : "vec4<f32>");
const sliceType = ({ isHalf }: CoreSide): string => (isHalf ? "vec4<u32>" : "vec2<u32>");
const sideName = ({ along, isHalf, isWhole }: CoreSide): string =>
  `${along}${isHalf ? " half" : ""}${isWhole ? " whole" : ""}`;

/** Where the fragments of a subgroup begin in y. */
const target = (i: number, j: number): string =>
  `yStart + (firstRow + down * ${SHARE}u + ${i * FRAGMENT}u) * p.yRow + firstColumn + across * ${SHARE}u + ${j * FRAGMENT}u`;

/** Statements that write a tile that is not inside y, or not as it is, an element at a time by way of workgroup memory. */
function writeEdge({ hasBias, adds }: MatrixCoresVariant): string {
  return eachFragment(
    (i, j) => `
    workgroupBarrier();
    subgroupMatrixStore<row_major>(&edge[lane / 32u], 0u, sum${i}_${j}, ${FRAGMENT}u);
    workgroupBarrier();
    for (var e = lane % 32u; e < ${FRAGMENT * FRAGMENT}u; e += 32u) {
      let row = firstRow + down * ${SHARE}u + ${i * FRAGMENT}u + e / ${FRAGMENT}u;
      let column = firstColumn + across * ${SHARE}u + ${j * FRAGMENT}u + e % ${FRAGMENT}u;
      if (row < p.rows && column < p.columns) {
        let at = yStart + row * p.yRow + column;
        out[at] = ${adds ? "out[at] + " : ""}edge[lane / 32u][e]${hasBias ? " + bias[p.biasOffset + column]" : ""};
      }
    }`,
  );
}

/** How a tile is written: fragments at once where they are inside y and need nothing more. */
function writeTile(variant: MatrixCoresVariant): string {
  const { a, b, isAligned, hasBias } = variant;
  const direct = eachFragment((i, j) => `subgroupMatrixStore<row_major>(&out, ${target(i, j)}, sum${i}_${j}, p.yRow);`);
  if (!isAligned || hasBias) return writeEdge(variant);
  return a.isWhole && b.isWhole ? direct : `if (isInside) { ${direct} } else { ${writeEdge(variant)} }`;
}

/** WGSL of the whole: slices on their way in registers while the ones before are multiplied. */
function body(variant: MatrixCoresVariant): string {
  const { a, b, isInnerWhole, isAligned, hasBias, adds } = variant;
  const eachMove = (code: (name: "a" | "b", side: CoreSide, i: number) => string): string =>
    `${lines(movesOf(a), (i) => code("a", a, i))}\n${lines(movesOf(b), (i) => code("b", b, i))}`;
  const loads = eachMove((name, side, i) => load(name, side, i, isInnerWhole));
  const startsFromY = adds && isAligned && !hasBias;
  return `${whichTile(CORE_TILE, CORE_TILE)}
  let aStart = p.aOffset + batch * p.aBatch;
  let bStart = p.bOffset + batch * p.bBatch;
  let yStart = p.yOffset + (batch * p.splits + part) * p.yBatch;
  let isInside = firstRow + ${CORE_TILE}u <= p.rows && firstColumn + ${CORE_TILE}u <= p.columns;
  let down = lane / ${CORE_THREADS / 2}u;
  let across = lane / 32u % 2u;
  ${eachFragment((i, j) => `var sum${i}_${j}: ${RESULT};`)}
  ${startsFromY ? `if (isInside) { ${eachFragment((i, j) => `sum${i}_${j} = subgroupMatrixLoad<${RESULT}, row_major>(&out, ${target(i, j)}, p.yRow);`)} }` : ""}
  ${eachMove((name, side, i) => `var ${name}Next${i}: ${typeOf(side)};`)}
  var start = firstInner;
  ${loads}
  loop {
    ${eachMove(place)}
    workgroupBarrier();
    start += ${CORE_DEPTH}u;
    if (start < endInner) { ${loads} }
    ${lines(CORE_DEPTH / FRAGMENT, (i) => step(a, b, i * FRAGMENT))}
    if (start >= endInner) { break; }
    workgroupBarrier();
  }
  ${writeTile(variant)}`;
}

/**
 * y = a b + bias on matrix cores: sides in float16, sums in float32. Rows of y must be contiguous, those of the sides padded to whole
 * vectors.
 *
 * Slices are arrays of what each subgroup reads, so that all places in them are known when the program is compiled: its checks of
 * bounds then cost nothing. Vectors are written and read 16 or 8 bytes at a time. 128 x 128 with two workgroups at a time on each
 * multiprocessor is faster than larger tiles, deeper slices and two slices in turn; shares of 64 x 64 are the largest that registers
 * hold, and anything smaller is held up by workgroup memory.
 */
export function matrixCoresProgram(variant: MatrixCoresVariant): Program {
  const { a, b, isInnerWhole, isAligned, hasBias, adds } = variant;
  const isWhole = a.isWhole && b.isWhole && isAligned && !hasBias;
  const marks = [
    ...[isInnerWhole && ", whole slices", !isAligned && ", unaligned", hasBias && ", bias", adds && ", adds"],
  ].filter(Boolean);
  return programNamed(`product matrix cores ${sideName(a)}, ${sideName(b)}${marks.join("")}`, () => ({
    requires: ["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
    bindings: [
      { name: "a", type: typeOf(a) },
      { name: "b", type: typeOf(b) },
      ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
      { name: "out", type: "f32", write: true },
    ],
    params: productParams,
    workgroup: CORE_THREADS,
    declarations: `
var<workgroup> aSlice: array<array<${sliceType(a)}, ${shareOf(a)}>, 2>;
var<workgroup> bSlice: array<array<${sliceType(b)}, ${shareOf(b)}>, 2>;
${isWhole ? "" : `var<workgroup> edge: array<array<f32, ${FRAGMENT * FRAGMENT}>, ${CORE_THREADS / 32}>;`}`,
    body: body(variant),
  }));
}
