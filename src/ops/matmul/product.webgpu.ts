import type { Bound, Program, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { sumRows } from "../reduce/webgpu.ts";
import { CORE_DEPTH, CORE_TILE, matrixCoresProgram } from "./matrix-cores.webgpu.ts";
import { stridedProgram } from "./strided.webgpu.ts";
import { MOST_THIN_ROWS, THIN_COLUMNS, thinProgram } from "./thin.webgpu.ts";
import { type Along, type Contiguous, tiledProgram } from "./tiled.webgpu.ts";

/** A matrix in a buffer, in elements; `batchStride` 0 repeats it. */
export interface GpuMatrix {
  readonly bound: Bound;
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
  readonly batchStride: number;
}

/** y = a b + bias, for each matrix of a batch. */
export interface GpuProduct {
  readonly batch: number;
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  /** [rows inner] */
  readonly a: GpuMatrix;
  /** [inner columns] */
  readonly b: GpuMatrix;
  readonly y: GpuMatrix;
  /** [columns] */
  readonly bias?: { readonly bound: Bound; readonly offset: number };
  /** y += a b; default false. */
  readonly adds?: boolean;
}

/** The same matrix with rows and columns exchanged. */
export function transposedMatrix(matrix: GpuMatrix): GpuMatrix {
  return { ...matrix, rowStride: matrix.columnStride, columnStride: matrix.rowStride };
}

type Sides<T> = Record<"a" | "b", T>;

/** Products below so many multiplications take no time anywhere, and not every shape is worth a program of its own. */
const LARGE = 2 ** 20;
/** Workgroups that fill a large card; with fewer, the summed axis is split. */
const WANTED_GROUPS = 128;
/** The least part of the summed axis that is worth a workgroup, and what parts are multiples of. */
const LEAST_PART = 512;
const PART_STEP = 32;

const isAligned = (...numbers: readonly number[]): boolean => numbers.every((number) => number % 4 === 0);

/** Along which axis four neighbours can be loaded at once. `inner` and `outer` are sizes, the strides those of the two axes. */
function alongOf(matrix: GpuMatrix, innerStride: number, outerStride: number, inner: number, outer: number): Along {
  if (!isAligned(matrix.offset, matrix.batchStride)) return "strided";
  if (innerStride === 1 && isAligned(outerStride, inner)) return "inner";
  if (outerStride === 1 && isAligned(innerStride, outer)) return "outer";
  return "strided";
}

function strideValues(name: string, matrix: GpuMatrix): Record<string, number> {
  return {
    [`${name}Offset`]: matrix.offset,
    [`${name}Row`]: matrix.rowStride,
    [`${name}Column`]: matrix.columnStride,
    [`${name}Batch`]: matrix.batchStride,
  };
}

/** Enqueues a product of matrices, by the program that suits its shape and the device. */
export function encodeProduct(context: WebgpuKernelContext, product: GpuProduct): void {
  const { batch, rows, inner, columns, a, b } = product;
  if (batch * rows * columns === 0) return;
  const along = {
    a: alongOf(a, a.columnStride, a.rowStride, inner, rows),
    b: alongOf(b, b.rowStride, b.columnStride, inner, columns),
  };
  const isContiguous = along.a === "inner" && along.b === "inner";
  if (isContiguous && rows <= MOST_THIN_ROWS) encodeThin(context, product);
  else if (isContiguous && columns <= MOST_THIN_ROWS && !product.bias) encodeThin(context, exchanged(product));
  else if (onMatrixCores(context, product, along)) encodeMatrixCores(context, product, along);
  else if (isLarge(product) && along.a !== "strided" && along.b !== "strided") {
    encodeTiled(context, product, { a: along.a, b: along.b });
  } else encodeStrided(context, product);
}

function isLarge({ batch, rows, inner, columns }: GpuProduct): boolean {
  return batch * rows * inner * columns >= LARGE;
}

function encodeStrided(context: WebgpuKernelContext, product: GpuProduct): void {
  const program = stridedProgram(product.bias !== undefined, product.adds ?? false);
  dispatchTiles(context, product, program, 64);
}

/** y^T = b^T a^T. */
function exchanged(product: GpuProduct): GpuProduct {
  return {
    ...product,
    rows: product.columns,
    columns: product.rows,
    a: transposedMatrix(product.b),
    b: transposedMatrix(product.a),
    y: transposedMatrix(product.y),
  };
}

function encodeThin(context: WebgpuKernelContext, product: GpuProduct): void {
  const { batch, rows, inner, columns, a, b, y, bias, adds = false } = product;
  const program = thinProgram({ rows, hasBias: bias !== undefined, adds, subgroups: context.subgroupSize === 32 });
  const groupsOfColumns = Math.ceil(columns / THIN_COLUMNS);
  const values = {
    ...{ inner, columns, groupsOfColumns, biasOffset: bias?.offset ?? 0 },
    ...{ ...strideValues("a", a), ...strideValues("b", b), ...strideValues("y", y) },
  };
  context.dispatch(program, boundOf(product), values, batch * groupsOfColumns);
}

function boundOf({ a, b, y, bias }: GpuProduct): Bound[] {
  return [a.bound, b.bound, ...(bias ? [bias.bound] : []), y.bound];
}

function onMatrixCores(
  { precision, hasMatrixCores }: WebgpuKernelContext,
  { rows, columns, y }: GpuProduct,
  along: Sides<Along>,
): along is Sides<Contiguous> {
  const isContiguous = along.a !== "strided" && along.b !== "strided" && y.columnStride === 1;
  return precision === "float16" && hasMatrixCores && isContiguous && rows >= 16 && columns >= 16;
}

/** Whole fragments on matrix cores, what is left of rows and columns with plain arithmetic. */
function encodeMatrixCores(context: WebgpuKernelContext, product: GpuProduct, along: Sides<Contiguous>): void {
  const [rows, columns] = [product.rows & ~15, product.columns & ~15];
  const { a, b, y, bias } = product;
  const part = (firstRow: number, rowCount: number, firstColumn: number, columnCount: number): GpuProduct => ({
    ...product,
    ...{ rows: rowCount, columns: columnCount },
    a: { ...a, offset: a.offset + firstRow * a.rowStride },
    b: { ...b, offset: b.offset + firstColumn * b.columnStride },
    y: { ...y, offset: y.offset + firstRow * y.rowStride + firstColumn },
    ...(bias ? { bias: { ...bias, offset: bias.offset + firstColumn } } : {}),
  });
  const { bias: _, ...whole } = part(0, rows, 0, columns);
  const adds = product.adds ?? false;
  const program = matrixCoresProgram({
    a: { along: along.a, isHalf: false, isWhole: rows % CORE_TILE === 0 },
    b: { along: along.b, isHalf: false, isWhole: columns % CORE_TILE === 0 },
    isInnerWhole: product.inner % CORE_DEPTH === 0,
    adds,
  });
  dispatchTiles(context, whole, program, CORE_TILE);
  if (bias) encodeBias(context, part(0, rows, 0, columns));
  if (rows < product.rows) encodeStrided(context, part(rows, product.rows - rows, 0, product.columns));
  if (columns < product.columns) encodeStrided(context, part(0, rows, columns, product.columns - columns));
}

const biasProgram: Program = {
  name: "product add bias",
  bindings: [
    { name: "bias", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["count:u32", "columns:u32", "biasOffset:u32", "yOffset:u32", "yRow:u32"],
  body: `
  if (index >= p.count) { return; }
  let column = index % p.columns;
  out[p.yOffset + (index / p.columns) * p.yRow + column] += bias[p.biasOffset + column];`,
};

function encodeBias(context: WebgpuKernelContext, { rows, columns, y, bias }: GpuProduct): void {
  const values = { count: rows * columns, columns, biasOffset: bias!.offset, yOffset: y.offset, yRow: y.rowStride };
  context.dispatch(biasProgram, [bias!.bound, y.bound], values, Math.ceil((rows * columns) / 64));
}

function encodeTiled(context: WebgpuKernelContext, product: GpuProduct, { a, b }: Sides<Contiguous>): void {
  const { batch, rows, columns, y, bias, adds = false } = product;
  const large = Math.ceil(rows / 128) * Math.ceil(columns / 128) * batch;
  const tile = large >= WANTED_GROUPS || (rows >= 128 && columns >= 128 && product.inner >= 4096) ? 128 : 64;
  const wide = y.columnStride === 1 && isAligned(y.offset, y.rowStride, y.batchStride, columns);
  const isUnrolled = context.subgroupSize >= 16;
  dispatchTiles(
    context,
    product,
    tiledProgram({ tile, a, b, wide, hasBias: bias !== undefined, adds, isUnrolled }),
    tile,
  );
}

/** Into how many parts the summed axis is cut. */
function splitsOf({ batch, rows, inner, columns, y, bias, adds }: GpuProduct, tile: number): number {
  const isDense = y.columnStride === 1 && y.rowStride === columns;
  if (bias || adds || batch > 1 || !isDense) return 1;
  const tiles = Math.ceil(rows / tile) * Math.ceil(columns / tile);
  return Math.max(1, Math.min(Math.floor(WANTED_GROUPS / tiles), Math.floor(inner / LEAST_PART)));
}

/** One workgroup a tile and part of the summed axis; parts are added up afterwards. */
function dispatchTiles(context: WebgpuKernelContext, product: GpuProduct, program: Program, tile: number): void {
  const { batch, rows, inner, columns, a, b, y, bias } = product;
  const tileRows = Math.ceil(rows / tile);
  const tileColumns = Math.ceil(columns / tile);
  const wanted = splitsOf(product, tile);
  const splitInner = wanted === 1 ? inner : Math.ceil(inner / wanted / PART_STEP) * PART_STEP;
  const splits = Math.max(1, Math.ceil(inner / Math.max(1, splitInner)));
  const sums = splits > 1 ? context.scratch(4 * splits * rows * columns) : undefined;
  const target = sums
    ? { bound: sums, offset: 0, rowStride: columns, columnStride: 1, batchStride: rows * columns }
    : y;
  const values = {
    ...{ rows, inner, columns, tileRows, tileColumns, splits, splitInner, biasOffset: bias?.offset ?? 0 },
    ...{ ...strideValues("a", a), ...strideValues("b", b), ...strideValues("y", target) },
  };
  context.dispatch(program, boundOf({ ...product, y: target }), values, batch * tileRows * tileColumns * splits);
  if (!sums) return;
  const parts = { bound: sums, offset: 0, rowStride: rows * columns, columnStride: 1, batchStride: 0 };
  sumRows(context, parts, splits, { bound: y.bound, offset: y.offset, size: rows * columns });
}
