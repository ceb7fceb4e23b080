import type { GpuType, Program } from "../../backends/webgpu/index.ts";
import { type Contiguous, productParams, whichTile } from "./tiled.webgpu.ts";

/** What a program for matrix cores is made for. */
export interface MatrixCoresVariant {
  readonly a: Contiguous;
  readonly b: Contiguous;
  readonly aIsHalf: boolean;
  readonly bIsHalf: boolean;
  /** y += a b. */
  readonly adds: boolean;
}

/** Rows and columns of y that a workgroup works out, in four subgroups of 64 x 64. */
export const CORE_TILE = 128;
export const CORE_THREADS = 128;
/** Depth of the slices in workgroup memory. */
export const CORE_DEPTH = 32;
/** Elements that a fragment has along each axis. */
const FRAGMENT = 16;
/** What keeps rows of a slice in different banks. */
const PADDING = 8;

/** WGSL of where a fragment of a thread's subgroup lies in y. */
function fragmentAt(i: number, j: number): { row: string; column: string; at: string } {
  const row = `firstRow + down * 64u + ${i * FRAGMENT}u`;
  const column = `firstColumn + across * 64u + ${j * FRAGMENT}u`;
  return { row, column, at: `yStart + (${row}) * p.yRow + ${column}` };
}

const lines = (count: number, code: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => code(i)).join("\n");

/** Rows of a slice as it lies in memory: along the summed axis if that is contiguous, else along the other. */
const rowOf = (along: Contiguous): number => (along === "inner" ? CORE_DEPTH : CORE_TILE) + PADDING;
const sliceOf = (along: Contiguous): number => (along === "inner" ? CORE_TILE : CORE_DEPTH) * rowOf(along);

/** Vectors of four that each thread moves for one side. */
const VECTORS = (CORE_TILE * CORE_DEPTH) / 4 / CORE_THREADS;

function placeOf(along: Contiguous, i: number): { m: string; k: string; slot: string } {
  const item = `(lane + ${i * CORE_THREADS}u)`;
  const perRow = (along === "inner" ? CORE_DEPTH : CORE_TILE) / 4;
  const [row, column] = [`(${item} / ${perRow}u)`, `(${item} % ${perRow}u * 4u)`];
  const slot = `${row} * ${rowOf(along)}u + ${column}`;
  return along === "inner" ? { m: row, k: column, slot } : { m: column, k: row, slot };
}

function load(side: "a" | "b", along: Contiguous, i: number): string {
  const [outer, outerStride, innerStride, first] =
    side === "a" ? ["p.rows", "p.aRow", "p.aColumn", "firstRow"] : ["p.columns", "p.bColumn", "p.bRow", "firstColumn"];
  const { m, k } = placeOf(along, i);
  return `{ let m = ${first} + ${m}; let k = start + ${k}; let isInside = m < ${outer} && k < endInner;
    ${side}Next${i} = select(vec4<f16>(0.0), vec4<f16>(${side}[select(0u, (${side}Start + m * ${outerStride} + k * ${innerStride}) / 4u, isInside)]), isInside); }`;
}

function place(side: "a" | "b", along: Contiguous, i: number): string {
  const { slot } = placeOf(along, i);
  const slice = side === "a" ? "sliceA" : "sliceB";
  return `{ let slot = ${side}Buffer + ${slot}; ${lines(4, (k) => `${slice}[slot + ${k}u] = ${side}Next${i}[${k}];`)} }`;
}

/**
 * y = a b on matrix cores: sides in float16, sums in float32. Sides that lie in float32 are rounded on their way into workgroup
 * memory. Rows and columns of y must be whole fragments, its rows contiguous.
 */
export function matrixCoresProgram({ a, b, aIsHalf, bIsHalf, adds }: MatrixCoresVariant): Program {
  const typeOf = (isHalf: boolean): GpuType => (isHalf ? "vec4<f16>" : "vec4<f32>");
  const [sliceA, sliceB] = [sliceOf(a), sliceOf(b)];
  const fragments = 64 / FRAGMENT;
  const eachFragment = (code: (i: number, j: number) => string): string =>
    lines(fragments, (i) => lines(fragments, (j) => code(i, j)));
  const offsetOf = (along: Contiguous, first: string, k: string): string =>
    along === "inner" ? `(${first}) * ${rowOf(along)}u + ${k}` : `(${k}) * ${rowOf(along)}u + ${first}`;
  const loads = `${lines(VECTORS, (i) => load("a", a, i))}\n${lines(VECTORS, (i) => load("b", b, i))}`;
  const places = `${lines(VECTORS, (i) => place("a", a, i))}\n${lines(VECTORS, (i) => place("b", b, i))}`;
  const compute = `
    for (var k = 0u; k < ${CORE_DEPTH}u; k += ${FRAGMENT}u) {
      ${lines(fragments, (j) => `let right${j} = subgroupMatrixLoad<subgroup_matrix_right<f16, ${FRAGMENT}, ${FRAGMENT}>>(&sliceB, bBuffer + ${offsetOf(b, `across * 64u + ${j * FRAGMENT}u`, "k")}, ${b === "inner"}, ${rowOf(b)}u);`)}
      ${lines(fragments, (i) => `{ let left = subgroupMatrixLoad<subgroup_matrix_left<f16, ${FRAGMENT}, ${FRAGMENT}>>(&sliceA, aBuffer + ${offsetOf(a, `down * 64u + ${i * FRAGMENT}u`, "k")}, ${a === "outer"}, ${rowOf(a)}u); ${lines(fragments, (j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left, right${j}, sum${i}_${j});`)} }`)}
    }`;
  return {
    name: `product matrix cores ${a}${aIsHalf ? " half" : ""} ${b}${bIsHalf ? " half" : ""}${adds ? " adds" : ""}`,
    requires: ["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
    bindings: [
      { name: "a", type: typeOf(aIsHalf) },
      { name: "b", type: typeOf(bIsHalf) },
      { name: "out", type: "f32", write: true },
    ],
    params: productParams,
    workgroup: CORE_THREADS,
    declarations: `
var<workgroup> sliceA: array<f16, ${2 * sliceA}>;
var<workgroup> sliceB: array<f16, ${2 * sliceB}>;`,
    body: `${whichTile(CORE_TILE, CORE_TILE)}
  let aStart = p.aOffset + batch * p.aBatch;
  let bStart = p.bOffset + batch * p.bBatch;
  let down = (lane / 32u) / 2u;
  let across = (lane / 32u) % 2u;
  ${eachFragment((i, j) => `var sum${i}_${j}: subgroup_matrix_result<f32, ${FRAGMENT}, ${FRAGMENT}>;`)}
  ${lines(VECTORS, (i) => `var aNext${i}: vec4<f16>; var bNext${i}: vec4<f16>;`)}
  let yStart = p.yOffset + (batch * p.splits + part) * p.yBatch;
  ${
    adds
      ? eachFragment((i, j) => {
          const { row, column, at } = fragmentAt(i, j);
          return `if (${row} < p.rows && ${column} < p.columns) { sum${i}_${j} = subgroupMatrixLoad<subgroup_matrix_result<f32, ${FRAGMENT}, ${FRAGMENT}>>(&out, ${at}, false, p.yRow); }`;
        })
      : ""
  }
  var aBuffer = 0u;
  var bBuffer = 0u;
  var start = firstInner;
  ${loads}
  ${places}
  workgroupBarrier();
  for (start += ${CORE_DEPTH}u; start < endInner; start += ${CORE_DEPTH}u) {
    ${loads}
    ${compute}
    aBuffer = ${sliceA}u - aBuffer;
    bBuffer = ${sliceB}u - bBuffer;
    ${places}
    workgroupBarrier();
  }
  ${compute}
  ${eachFragment((i, j) => {
    const { row, column, at } = fragmentAt(i, j);
    return `if (${row} < p.rows && ${column} < p.columns) { subgroupMatrixStore(&out, ${at}, sum${i}_${j}, false, p.yRow); }`;
  })}`,
  };
}
