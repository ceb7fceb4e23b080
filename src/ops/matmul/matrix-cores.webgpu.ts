import type { GpuType, Program } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";
import { type Contiguous, productParams, whichTile } from "./tiled.webgpu.ts";

/** One side of a product for matrix cores. */
export interface CoreSide {
  readonly along: Contiguous;
  /** Whether it lies in float16; float32 is rounded on its way into workgroup memory. */
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
  /** y += a b. */
  readonly adds: boolean;
}

/** Rows and columns of y that a workgroup works out, in four subgroups of 64 x 64. */
export const CORE_TILE = 128;
export const CORE_THREADS = 128;
/** Depth of the slices in workgroup memory. */
export const CORE_DEPTH = 32;
/** Rows and columns of a subgroup. */
const SHARE = 64;
/** Elements that a fragment has along each axis. */
const FRAGMENT = 16;
/** What keeps rows of a slice in different banks. */
const PADDING = 8;
/** Vectors of four that each thread moves for one side. */
const VECTORS = (CORE_TILE * CORE_DEPTH) / 4 / CORE_THREADS;
const FRAGMENTS = SHARE / FRAGMENT;

const lines = (count: number, code: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => code(i)).join("\n");

/** Elements of a row of a slice as it lies in memory: along the summed axis if that is contiguous, else along the other. */
const rowOf = (along: Contiguous): number => (along === "inner" ? CORE_DEPTH : SHARE) + PADDING;
/** Elements of what one subgroup needs of a slice. */
const shareOf = (along: Contiguous): number => (along === "inner" ? SHARE : CORE_DEPTH) * rowOf(along);

/** Which elements of a tile the i-th vector of a thread holds, and where in which share of the slice they go. */
function placeOf(along: Contiguous, i: number): { m: string; k: string; share: number; slot: string } {
  const perRow = (along === "inner" ? CORE_DEPTH : SHARE) / 4;
  const rows = CORE_THREADS / perRow;
  const perShare = VECTORS / 2;
  const share = Math.floor(i / perShare);
  const row = `(${(i % perShare) * rows}u + lane / ${perRow}u)`;
  const column = `(lane % ${perRow}u * 4u)`;
  const slot = `${row} * ${rowOf(along)}u + ${column}`;
  return along === "inner"
    ? { m: `(${share * SHARE}u + ${row})`, k: column, share, slot }
    : { m: `(${share * SHARE}u + ${column})`, k: row, share, slot };
}

function load(side: "a" | "b", { along, isHalf, isWhole }: CoreSide, i: number, isInnerWhole: boolean): string {
  const [outer, outerStride, innerStride, first] =
    side === "a" ? ["p.rows", "p.aRow", "p.aColumn", "firstRow"] : ["p.columns", "p.bColumn", "p.bRow", "firstColumn"];
  const place = placeOf(along, i);
  const last = `${outer} - ${along === "inner" ? 1 : 4}u`;
  const m = isWhole ? `${first} + ${place.m}` : `min(${first} + ${place.m}, ${last})`;
  const k = `start + ${place.k}`;
  const at = (own: string): string =>
    `${side}[(${side}Start + (${m}) * ${outerStride} + (${own}) * ${innerStride}) / 4u]`;
  if (isInnerWhole) return `${side}Next${i} = ${at(k)};`;
  const zero = isHalf ? "vec4<f16>(0.0)" : "vec4<f32>(0.0)";
  return `${side}Next${i} = select(${zero}, ${at(`min(${k}, endInner - ${along === "inner" ? 4 : 1}u)`)}, ${k} < endInner);`;
}

function place(side: "a" | "b", { along }: CoreSide, i: number): string {
  const { share, slot } = placeOf(along, i);
  const target = `${side === "a" ? "sliceA" : "sliceB"}[${share}]`;
  return `{ let slot = ${slot}; let half = vec4<f16>(${side}Next${i}); ${lines(4, (k) => `${target}[slot + ${k}u] = half[${k}];`)} }`;
}

function fragment(side: "a" | "b", along: Contiguous, i: number, k: number): string {
  const [kind, slice, share] = side === "a" ? ["left", "sliceA", "down"] : ["right", "sliceB", "across"];
  const offset = along === "inner" ? i * FRAGMENT * rowOf(along) + k : k * rowOf(along) + i * FRAGMENT;
  const isColumnMajor = (side === "a") === (along === "outer");
  return `subgroupMatrixLoad<subgroup_matrix_${kind}<f16, ${FRAGMENT}, ${FRAGMENT}>>(&${slice}[${share}], ${offset}u, ${isColumnMajor}, ${rowOf(along)}u)`;
}

/** Statements for the fragments of y that lie inside it. */
function eachInside(whole: boolean, code: (i: number, j: number, at: string) => string): string {
  return lines(FRAGMENTS, (i) =>
    lines(FRAGMENTS, (j) => {
      const row = `firstRow + down * ${SHARE}u + ${i * FRAGMENT}u`;
      const column = `firstColumn + across * ${SHARE}u + ${j * FRAGMENT}u`;
      const own = code(i, j, `yStart + (${row}) * p.yRow + ${column}`);
      return whole ? own : `if (${row} < p.rows && ${column} < p.columns) { ${own} }`;
    }),
  );
}

const sideName = ({ along, isHalf, isWhole }: CoreSide): string =>
  `${along}${isHalf ? " half" : ""}${isWhole ? " whole" : ""}`;

/**
 * y = a b on matrix cores: sides in float16, sums in float32. Rows and columns of y must be whole fragments, its rows contiguous.
 *
 * Slices are arrays of what each subgroup reads, so that all places in them are known when the program is compiled: its checks of
 * bounds then cost nothing.
 */
export function matrixCoresProgram({ a, b, isInnerWhole, adds }: MatrixCoresVariant): Program {
  return programNamed(
    `product matrix cores ${sideName(a)}, ${sideName(b)}${isInnerWhole ? ", whole slices" : ""}${adds ? ", adds" : ""}`,
    () => {
      const typeOf = ({ isHalf }: CoreSide): GpuType => (isHalf ? "vec4<f16>" : "vec4<f32>");
      const isWhole = a.isWhole && b.isWhole;
      const loads = lines(VECTORS, (i) => `${load("a", a, i, isInnerWhole)} ${load("b", b, i, isInnerWhole)}`);
      const places = `${lines(VECTORS, (i) => place("a", a, i))}\n${lines(VECTORS, (i) => place("b", b, i))}`;
      const compute = lines(CORE_DEPTH / FRAGMENT, (step) => {
        const k = step * FRAGMENT;
        return `{
      ${lines(FRAGMENTS, (j) => `let right${j} = ${fragment("b", b.along, j, k)};`)}
      ${lines(FRAGMENTS, (i) => `{ let left = ${fragment("a", a.along, i, k)}; ${lines(FRAGMENTS, (j) => `sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left, right${j}, sum${i}_${j});`)} }`)}
    }`;
      });
      const type = `subgroup_matrix_result<f32, ${FRAGMENT}, ${FRAGMENT}>`;
      return {
        requires: ["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
        bindings: [
          { name: "a", type: typeOf(a) },
          { name: "b", type: typeOf(b) },
          { name: "out", type: "f32", write: true },
        ],
        params: productParams,
        workgroup: CORE_THREADS,
        declarations: `
var<workgroup> sliceA: array<array<f16, ${shareOf(a.along)}>, 2>;
var<workgroup> sliceB: array<array<f16, ${shareOf(b.along)}>, 2>;`,
        body: `${whichTile(CORE_TILE, CORE_TILE)}
  let aStart = p.aOffset + batch * p.aBatch;
  let bStart = p.bOffset + batch * p.bBatch;
  let down = (lane / 32u) / 2u;
  let across = (lane / 32u) % 2u;
  ${lines(FRAGMENTS, (i) => lines(FRAGMENTS, (j) => `var sum${i}_${j}: ${type};`))}
  ${lines(VECTORS, (i) => `var aNext${i}: ${typeOf(a)}; var bNext${i}: ${typeOf(b)};`)}
  let yStart = p.yOffset + (batch * p.splits + part) * p.yBatch;
  ${adds ? eachInside(isWhole, (i, j, at) => `sum${i}_${j} = subgroupMatrixLoad<${type}>(&out, ${at}, false, p.yRow);`) : ""}
  var start = firstInner;
  ${loads}
  loop {
    ${places}
    workgroupBarrier();
    start += ${CORE_DEPTH}u;
    if (start < endInner) { ${loads} }
    ${compute}
    if (start >= endInner) { break; }
    workgroupBarrier();
  }
  ${eachInside(isWhole, (i, j, at) => `subgroupMatrixStore(&out, ${at}, sum${i}_${j}, false, p.yRow);`)}`,
      };
    },
  );
}
