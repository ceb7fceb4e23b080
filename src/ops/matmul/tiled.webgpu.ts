import type { Program } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";

/** Along which axis neighbouring elements of a side lie side by side: the summed one, the other one, or neither that is known. */
export type Along = "inner" | "outer" | "strided";

export type Contiguous = Exclude<Along, "strided">;

/** How a tile of y is shared out. Groups of 32 threads, 4 down and 8 across, have sums in pieces of 4 x 4 each. */
export interface TileShape {
  /** Rows and columns of y that a workgroup works out. */
  readonly rows: number;
  readonly columns: number;
  /** Pieces of four rows, and of four columns, that a thread has. */
  readonly down: number;
  readonly across: number;
  /** Depth of the slices in workgroup memory. */
  readonly depth: number;
  /** Slices in workgroup memory: with two, one is written while the other is read. */
  readonly slices: 1 | 2;
}

/** What a tiled program is made for. */
export interface TiledVariant {
  readonly shape: TileShape;
  readonly a: Contiguous;
  readonly b: Contiguous;
  /** Whether all tiles and slices are whole, so that nothing has to be kept inside the matrices. */
  readonly isWhole: boolean;
  /** Whether y is written four elements at a time. */
  readonly wide: boolean;
  readonly hasBias: boolean;
  /** y += a b. */
  readonly adds: boolean;
  /** Written out step by step, for compilers that make something of it. */
  readonly isUnrolled: boolean;
}

export const TILED_THREADS = 256;

/** Workgroup memory that a shape takes, in bytes. */
export const tiledBytes = ({ rows, columns, depth, slices }: TileShape): number =>
  4 * (rows + columns) * depth * slices;

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

/** A side as the generator sees it. Slices are [depth] [groups of threads] [pieces] [threads of a group]: all but the last are known. */
interface Side {
  readonly name: "a" | "b";
  readonly along: Contiguous;
  readonly size: number;
  readonly pieces: number;
  readonly lanes: number;
}

const groupsOf = ({ size, pieces, lanes }: Side): number => size / (4 * pieces * lanes);

/** Which block of 4 x 4 elements of a slice has a number: its vector of four along the side, and of four steps. */
function blockPlace({ along, size }: Side, depth: number, at: string): [string, string] {
  if (along === "outer") return [`(${at} % ${size / 4}u)`, `(${at} / ${size / 4}u)`];
  return [`(${at} % 8u + 8u * (${at} / ${2 * depth}u))`, `(${at} / 8u % ${depth / 4}u)`];
}

/** Four neighbours along the summed axis (from `k`) or along the other (from `m`), zero outside. */
function loadVector({ name }: Side, m: string, k: string, isWhole: boolean): string {
  const [outer, outerStride, innerStride] =
    name === "a" ? ["p.rows", "p.aRow", "p.aColumn"] : ["p.columns", "p.bColumn", "p.bRow"];
  const at = `(${name}Start + (${m}) * ${outerStride} + (${k}) * ${innerStride}) / 4u`;
  if (isWhole) return `${name}[${at}]`;
  const isInside = `${m} < ${outer} && ${k} < endInner`;
  return `select(vec4<f32>(0.0), ${name}[select(0u, ${at}, ${isInside})], ${isInside})`;
}

/** Statements that load a block into registers, one vector for each step of the summed axis. */
function loadBlock(side: Side, { shape, isWhole }: TiledVariant, at: string, round: number): string {
  const [m, k] = blockPlace(side, shape.depth, at);
  const place = `let m = ${side.name === "a" ? "firstRow" : "firstColumn"} + 4u * ${m}; let k = start + 4u * ${k};`;
  if (side.along === "outer") {
    return `${place} ${lines(4, (j) => `next${round}_${j} = ${loadVector(side, "m", `k + ${j}u`, isWhole)};`)}`;
  }
  const rows = lines(4, (i) => `let v${i} = ${loadVector(side, `m + ${i}u`, "k", isWhole)};`);
  return `${place} ${rows} ${lines(4, (j) => `next${round}_${j} = vec4<f32>(v0[${j}], v1[${j}], v2[${j}], v3[${j}]);`)}`;
}

function placeBlock(side: Side, { shape }: TiledVariant, at: string, round: number, slice: number): string {
  const [m, k] = blockPlace(side, shape.depth, at);
  const { name, pieces, lanes } = side;
  const place = `[m / ${pieces * lanes}u][m / ${lanes}u % ${pieces}u][m % ${lanes}u]`;
  return `let m = ${m}; let k = 4u * ${k}; ${lines(4, (j) => `${name}Slice[${slice}][k + ${j}u]${place} = next${round}_${j};`)}`;
}

/** Statements for each block of both sides, in rounds of one block a thread. */
function eachBlock(sides: readonly Side[], depth: number, code: (side: Side, at: string, round: number) => string) {
  const [a, b] = sides as [Side, Side];
  const [ofA, all] = [(a.size / 4) * (depth / 4), ((a.size + b.size) / 4) * (depth / 4)];
  return lines(Math.ceil(all / TILED_THREADS), (round) => {
    const from = round * TILED_THREADS;
    const first = `{ ${code(a, `(lane + ${from}u)`, round)} }`;
    const second = `{ ${code(b, from < ofA ? `(lane - ${ofA - from}u)` : `(lane + ${from - ofA}u)`, round)} }`;
    const guarded = from + TILED_THREADS > all ? `if (lane < ${all - from}u) ${second}` : second;
    if (from + TILED_THREADS <= ofA) return first;
    return from >= ofA ? guarded : `if (lane < ${ofA - from}u) ${first} else { ${guarded} }`;
  });
}

/** Sums in registers, multiplied out of a slice. */
function multiplySlice({ shape, isUnrolled }: TiledVariant, slice: number): string {
  const { down, across, depth } = shape;
  const step = (k: string): string => `{
      ${lines(down, (q) => `let a${q} = aSlice[${slice}][${k}][groupDown][${q}][laneDown];`)}
      ${lines(across, (q) => `let b${q} = bSlice[${slice}][${k}][groupAcross][${q}][laneAcross];`)}
      ${lines(4 * down, (row) => lines(across, (q) => `sum${row}_${q} = fma(vec4<f32>(a${row >> 2}[${row & 3}]), b${q}, sum${row}_${q});`))}
    }`;
  return isUnrolled ? lines(depth, (k) => step(`${k}u`)) : `for (var k = 0u; k < ${depth}u; k++) ${step("k")}`;
}

const storeFunction = ({ wide, hasBias, adds }: TiledVariant): string => `
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
}`;

function body(variant: TiledVariant, sides: readonly Side[]): string {
  const { rows, columns, down, across, depth, slices } = variant.shape;
  const [a, b] = sides as [Side, Side];
  const load = eachBlock(sides, depth, (side, at, round) => loadBlock(side, variant, at, round));
  const place = (slice: number): string =>
    eachBlock(sides, depth, (side, at, round) => placeBlock(side, variant, at, round, slice));
  const eachSum = (code: (row: number, q: number) => string): string =>
    lines(4 * down, (row) => lines(across, (q) => code(row, q)));
  const rounds = Math.ceil(((rows + columns) * depth) / 16 / TILED_THREADS);
  /** Multiplies out of one slice while the next is on its way; with a single one, no thread may still read what is overwritten. */
  const turn = (slice: number): string => `
    ${place(slice)}
    workgroupBarrier();
    start += ${depth}u;
    if (start < endInner) { ${load} }
    { ${multiplySlice(variant, slice)} }
    if (start >= endInner) { break; }
    ${slices === 1 ? "workgroupBarrier();" : ""}`;
  return `${whichTile(rows, columns)}
  let aStart = p.aOffset + batch * p.aBatch;
  let bStart = p.bOffset + batch * p.bBatch;
  // eight threads in a row across, four down: that reads the least of workgroup memory at a time
  let groupDown = lane / 32u / ${groupsOf(b)}u;
  let groupAcross = lane / 32u % ${groupsOf(b)}u;
  let laneDown = lane % 32u / ${b.lanes}u;
  let laneAcross = lane % ${b.lanes}u;
  ${eachSum((row, q) => `var sum${row}_${q} = vec4<f32>(0.0);`)}
  ${lines(rounds, (round) => lines(4, (j) => `var next${round}_${j}: vec4<f32>;`))}
  var start = firstInner;
  ${load}
  loop { ${turn(0)} ${slices === 2 ? turn(1) : ""} }
  let yStart = p.yOffset + (batch * p.splits + part) * p.yBatch;
  let y0 = firstRow + groupDown * ${4 * down * a.lanes}u + 4u * laneDown;
  let x0 = firstColumn + groupAcross * ${4 * across * b.lanes}u + 4u * laneAcross;
  ${eachSum((row, q) => `store(y0 + ${(row >> 2) * 4 * a.lanes + (row & 3)}u, x0 + ${q * 4 * b.lanes}u, yStart, sum${row}_${q});`)}`;
}

/** Slices of a and b in workgroup memory, the next ones on their way in registers, sums in registers. */
export function tiledProgram(variant: TiledVariant): Program {
  const { shape, a, b, isWhole, wide, hasBias, adds, isUnrolled } = variant;
  const marks = [isWhole && " whole", wide && " wide", hasBias && " bias", adds && " adds", isUnrolled && " unrolled"];
  const size = `${shape.rows} x ${shape.columns} x ${shape.depth}`;
  return programNamed(`product tiled ${size} ${a} ${b}${marks.filter(Boolean).join("")}`, () => {
    const sides: readonly Side[] = [
      { name: "a", along: a, size: shape.rows, pieces: shape.down, lanes: 4 },
      { name: "b", along: b, size: shape.columns, pieces: shape.across, lanes: 8 },
    ];
    const slice = (side: Side): string =>
      `var<workgroup> ${side.name}Slice: array<array<array<array<array<vec4<f32>, ${side.lanes}>, ${side.pieces}>, ${groupsOf(side)}>, ${shape.depth}>, ${shape.slices}>;`;
    return {
      bindings: [
        { name: "a", type: "vec4<f32>" },
        { name: "b", type: "vec4<f32>" },
        ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
        { name: "out", type: wide ? "vec4<f32>" : "f32", write: true },
      ],
      params: productParams,
      workgroup: TILED_THREADS,
      declarations: `${sides.map(slice).join("\n")}${storeFunction(variant)}`,
      body: body(variant, sides),
    };
  });
}
