import type { Program } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";

/** Along which axis neighbouring elements of a side lie side by side: the summed one, the other one, or neither that is known. */
export type Along = "inner" | "outer" | "strided";

export type Contiguous = Exclude<Along, "strided">;

/** What a tiled program is made for. */
export interface TiledVariant {
  /** Rows and columns of y that a workgroup works out: 128 with 8 x 8 a thread, or 64 with 4 x 4. */
  readonly tile: 64 | 128;
  readonly a: Contiguous;
  readonly b: Contiguous;
  /** Whether y is written four elements at a time. */
  readonly wide: boolean;
  readonly hasBias: boolean;
  /** y += a b. */
  readonly adds: boolean;
  /** Written out step by step, for compilers that make something of it. */
  readonly isUnrolled: boolean;
}

export const TILED_THREADS = 256;

/** Depth of the slices: each side's is 128 blocks of 4 x 4, one for each of half of the threads. */
const depthOf = (tile: number): number => 2048 / tile;

export const productParams: Program["params"] = [
  ...(["rows:u32", "inner:u32", "columns:u32", "tileRows:u32", "tileColumns:u32", "biasOffset:u32"] as const),
  ...(["splits:u32", "splitInner:u32"] as const),
  ...["a", "b", "y"].flatMap(
    (name) => [`${name}Offset:u32`, `${name}Row:u32`, `${name}Column:u32`, `${name}Batch:u32`] as const,
  ),
];

/** WGSL: which tile of y, which part of the summed axis, and which matrix a workgroup has. Tiles of 8 rows are walked together. */
export const whichTile = (rows: number, columns: number): string => `
  let tiles = p.tileRows * p.tileColumns;
  let part = (group / tiles) % p.splits;
  let batch = group / (tiles * p.splits);
  let within = group % tiles;
  let band = within / (8u * p.tileColumns);
  let bandRows = min(8u, p.tileRows - band * 8u);
  let inBand = within - band * 8u * p.tileColumns;
  let firstRow = (band * 8u + inBand % bandRows) * ${rows}u;
  let firstColumn = (inBand / bandRows) * ${columns}u;
  let firstInner = part * p.splitInner;
  let endInner = min(p.inner, firstInner + p.splitInner);`;

const lines = (count: number, code: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => code(i)).join("\n");

/** Four neighbours along the summed axis (from `k`) or along the other (from `m`), zero outside. */
function loadVector(side: "a" | "b", m: string, k: string): string {
  const [outer, outerStride, innerStride] =
    side === "a" ? ["p.rows", "p.aRow", "p.aColumn"] : ["p.columns", "p.bColumn", "p.bRow"];
  const at = `${side}Start + (${m}) * ${outerStride} + (${k}) * ${innerStride}`;
  const isInside = `${m} < ${outer} && ${k} < endInner`;
  return `select(vec4<f32>(0.0), ${side}[select(0u, (${at}) / 4u, ${isInside})], ${isInside})`;
}

/** Statements that load a thread's block of 4 x 4 of one side into `next0` to `next3`, one vector for each step of the summed axis. */
function loadBlock(side: "a" | "b", along: Contiguous, tile: number): string {
  const blocks = tile / 4;
  const [m, k] =
    along === "outer"
      ? [`(half % ${blocks}u)`, `(half / ${blocks}u)`]
      : [`(half % 8u + 8u * (half / ${128 / (blocks / 8)}u))`, `((half / 8u) % ${128 / blocks}u)`];
  const first = side === "a" ? "firstRow" : "firstColumn";
  const at = `let m = ${first} + 4u * ${m}; let k = start + 4u * ${k};`;
  if (along === "outer") return `${at} ${lines(4, (j) => `next${j} = ${loadVector(side, "m", `k + ${j}u`)};`)}`;
  const rows = lines(4, (i) => `let v${i} = ${loadVector(side, `m + ${i}u`, "k")};`);
  return `${at} ${rows} ${lines(4, (j) => `next${j} = vec4<f32>(v0[${j}], v1[${j}], v2[${j}], v3[${j}]);`)}`;
}

function placeBlock(side: "a" | "b", along: Contiguous, tile: number): string {
  const blocks = tile / 4;
  const [m, k] =
    along === "outer"
      ? [`half % ${blocks}u`, `half / ${blocks}u`]
      : [`half % 8u + 8u * (half / ${128 / (blocks / 8)}u)`, `(half / 8u) % ${128 / blocks}u`];
  const name = side === "a" ? "sliceA" : "sliceB";
  return lines(4, (j) => `${name}[(4u * (${k}) + ${j}u) * ${blocks}u + ${m}] = next${j};`);
}

/** Slices of a and b in workgroup memory, the next ones on their way in registers, sums in registers. */
export function tiledProgram({ tile, a, b, wide, hasBias, adds, isUnrolled }: TiledVariant): Program {
  return programNamed(
    `product tiled ${tile} ${a} ${b}${wide ? " wide" : ""}${hasBias ? " bias" : ""}${adds ? " adds" : ""}${isUnrolled ? " unrolled" : ""}`,
    () => {
      const depth = depthOf(tile);
      const blocks = tile / 4;
      const parts = tile / 64;
      const slice = depth * blocks;
      const eachSum = (code: (row: number, half: number) => string): string =>
        lines(4 * parts, (row) => lines(parts, (half) => code(row, half)));
      const load = `
    if (isA) { ${loadBlock("a", a, tile)} } else { ${loadBlock("b", b, tile)} }`;
      const place = `
    if (isA) { ${placeBlock("a", a, tile)} } else { ${placeBlock("b", b, tile)} }`;
      const step = (k: string): string => `{
      ${lines(parts, (half) => `let a${half} = sliceA[${k} * ${blocks}u + ${16 * half}u + down]; let b${half} = sliceB[${k} * ${blocks}u + ${16 * half}u + across];`)}
      ${eachSum((row, half) => `sum${row}_${half} = fma(vec4<f32>(a${row >> 2}[${row & 3}]), b${half}, sum${row}_${half});`)}
    }`;
      const compute = isUnrolled
        ? lines(depth, (k) => step(`${k}u`))
        : `for (var k = 0u; k < ${depth}u; k++) ${step("k")}`;
      return {
        bindings: [
          { name: "a", type: "vec4<f32>" },
          { name: "b", type: "vec4<f32>" },
          ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
          { name: "out", type: wide ? "vec4<f32>" : "f32", write: true },
        ],
        params: productParams,
        workgroup: TILED_THREADS,
        declarations: `
var<workgroup> sliceA: array<vec4<f32>, ${slice}>;
var<workgroup> sliceB: array<vec4<f32>, ${slice}>;
fn store(row: u32, column: u32, start: u32, given: vec4<f32>) {
  if (row >= p.rows) { return; }
  var sum = given;
  let at = start + row * p.yRow + column * p.yColumn;
  ${
    wide
      ? `if (column >= p.columns) { return; }
  ${hasBias ? `sum += vec4<f32>(${lines(4, (k) => `bias[p.biasOffset + column + ${k}u],`)});` : ""}
  out[at / 4u] = ${adds ? "out[at / 4u] + " : ""}sum;`
      : `for (var k = 0u; k < 4u && column + k < p.columns; k++) {
    out[at + k * p.yColumn] = ${adds ? "out[at + k * p.yColumn] + " : ""}sum[k]${hasBias ? " + bias[p.biasOffset + column + k]" : ""};
  }`
  }
}`,
        body: `${whichTile(tile, tile)}
  let aStart = p.aOffset + batch * p.aBatch;
  let bStart = p.bOffset + batch * p.bBatch;
  let isA = lane < ${TILED_THREADS / 2}u;
  let half = lane % ${TILED_THREADS / 2}u;
  ${eachSum((row, h) => `var sum${row}_${h} = vec4<f32>(0.0);`)}
  ${lines(4, (j) => `var next${j}: vec4<f32>;`)}
  // eight threads in a row across, four down: that reads the least of workgroup memory at a time
  let down = (lane / 64u) * 4u + (lane % 32u) / 8u;
  let across = (lane / 32u) % 2u * 8u + lane % 8u;
  var start = firstInner;
  ${load}
  loop {
    ${place}
    workgroupBarrier();
    start += ${depth}u;
    if (start < endInner) { ${load} }
    ${compute}
    if (start >= endInner) { break; }
    workgroupBarrier();
  }
  let yStart = p.yOffset + (batch * p.splits + part) * p.yBatch;
  ${eachSum((row, h) => `store(firstRow + ${(row >> 2) * 64 + (row & 3)}u + 4u * down, firstColumn + ${64 * h}u + 4u * across, yStart, sum${row}_${h});`)}`,
      };
    },
  );
}
