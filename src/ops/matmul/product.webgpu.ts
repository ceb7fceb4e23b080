import type { WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import {
  alongOf,
  boundOf,
  exchanged,
  type GpuMatrix,
  type GpuProduct,
  isAligned,
  type Sides,
  strideValues,
  transposedMatrix,
} from "./gpu-matrix.ts";
import { CORE_DEPTH, CORE_TILE, matrixCoresProgram } from "./matrix-cores.webgpu.ts";
import { roundedMatrix } from "./rounded.webgpu.ts";
import { stridedProgram } from "./strided.webgpu.ts";
import { MOST_THIN_ROWS, THIN_COLUMNS, thinProgram } from "./thin.webgpu.ts";
import { type Along, type Contiguous, type TileShape, tiledBytes, tiledProgram } from "./tiled.webgpu.ts";
import { dispatchTiles, planOf, type TileCost } from "./tiles.webgpu.ts";

export { type GpuMatrix, type GpuProduct, transposedMatrix } from "./gpu-matrix.ts";

/** Products below so many multiplications take no time anywhere, and not every shape is worth a program of its own. */
const LARGE = 2 ** 20;
/** Products below so many are quick in small tiles too, and the programs of large ones take long to compile. */
const WORTH_LARGE_TILES = 2 ** 23;
/** Tiles that read a side again: with so many, a copy of it in float16 is worth its own pass. */
const WORTH_ROUNDING = 64;

const coreCost: TileCost = { rows: CORE_TILE, columns: CORE_TILE, depth: CORE_DEPTH, slots: 264, slice: 1.1 };
const stridedCost: TileCost = { rows: 64, columns: 64, depth: 16, slots: 528, slice: 4.8 };

/** Tiles from the smallest to the largest; the last takes more workgroup memory than every device has. */
const shapes: readonly (TileShape & TileCost)[] = [
  { rows: 64, columns: 64, down: 1, across: 1, depth: 32, slices: 1, slots: 528, slice: 9.6 },
  { rows: 128, columns: 128, down: 2, across: 2, depth: 16, slices: 1, slots: 264, slice: 3.7 },
  { rows: 128, columns: 256, down: 2, across: 4, depth: 8, slices: 2, slots: 132, slice: 1.66 },
];

/** Whether products are rounded to float16 on this device, so that sides may lie in it. */
export function roundsProducts({ precision, hasMatrixCores }: WebgpuKernelContext): boolean {
  return precision === "float16" && hasMatrixCores;
}

/** Enqueues a product of matrices, by the program that suits its shape and the device. */
export function encodeProduct(context: WebgpuKernelContext, product: GpuProduct): void {
  const { batch, rows, columns, a, b } = product;
  if (batch * rows * columns === 0) return;
  const along = alongOf(product);
  const isHalf = a.isHalf || b.isHalf;
  const isInner = along.a === "inner" && along.b === "inner";
  const isContiguous = isInner && !isHalf;
  if (isInner && !a.isHalf && rows <= MOST_THIN_ROWS) encodeThin(context, product);
  else if (isContiguous && columns <= MOST_THIN_ROWS && !product.bias) encodeThin(context, exchanged(product));
  else if (isHalf || onMatrixCores(context, product)) encodeMatrixCores(context, product);
  else if (isLarge(product) && along.a !== "strided" && along.b !== "strided") {
    encodeTiled(context, product, { a: along.a, b: along.b });
  } else encodeStrided(context, product);
}

function isLarge({ batch, rows, inner, columns }: GpuProduct, least = LARGE): boolean {
  return batch * rows * inner * columns >= least;
}

function encodeStrided(context: WebgpuKernelContext, product: GpuProduct): void {
  const program = stridedProgram(product.bias !== undefined, product.adds ?? false);
  dispatchTiles(context, product, program, stridedCost);
}

/** Few rows of a, the summed axis contiguous on both sides; b may be of any type of weights. */
export function encodeThin(context: WebgpuKernelContext, product: GpuProduct): void {
  const { batch, rows, inner, columns, bias, adds = false } = product;
  const subgroups = context.subgroupSize === 32;
  const program = thinProgram({
    rows,
    hasBias: bias !== undefined,
    adds,
    format: product.b.blocks?.format ?? (product.b.isHalf ? "float16" : "float32"),
    subgroups,
  });
  const groupsOfColumns = Math.ceil(columns / THIN_COLUMNS);
  const values = {
    ...{ inner, columns, groupsOfColumns, biasOffset: bias?.offset ?? 0 },
    ...{ ...strideValues(product), scalesAt: product.b.blocks?.scalesAt ?? 0 },
  };
  context.dispatch(program, boundOf(product), values, batch * groupsOfColumns);
}

/** Whether a side can be read by matrix cores: vectors at a time, or after it has been copied. */
const isReadable = (along: Along, matrix: GpuMatrix, batch: number): boolean =>
  along !== "strided" || (batch === 1 && (matrix.rowStride === 1 || matrix.columnStride === 1));

function onMatrixCores(context: WebgpuKernelContext, product: GpuProduct): boolean {
  const { batch, rows, columns, a, b, y } = product;
  if (!roundsProducts(context) || rows < 16 || columns < 16 || y.columnStride !== 1) return false;
  const along = alongOf(product);
  const isCopied = along.a === "strided" || along.b === "strided";
  return (!isCopied || isLarge(product)) && isReadable(along.a, a, batch) && isReadable(along.b, b, batch);
}

/** Sides that are read often, or that lie where vectors do not, are copied in float16 first. */
function roundedSides(context: WebgpuKernelContext, product: GpuProduct): GpuProduct {
  const { batch, rows, inner, columns, a, b } = product;
  const along = alongOf(product);
  const needs = (side: Along, matrix: GpuMatrix, others: number): boolean =>
    !matrix.isHalf && batch === 1 && inner > 0 && (side === "strided" || others > WORTH_ROUNDING * CORE_TILE);
  const round = (matrix: GpuMatrix, first: number, second: number): GpuMatrix =>
    matrix.columnStride === 1
      ? roundedMatrix(context, matrix, first, second)
      : transposedMatrix(roundedMatrix(context, transposedMatrix(matrix), second, first));
  return {
    ...product,
    a: needs(along.a, a, columns) ? round(a, rows, inner) : a,
    b: needs(along.b, b, rows) ? round(b, inner, columns) : b,
  };
}

function encodeMatrixCores(context: WebgpuKernelContext, given: GpuProduct): void {
  const product = roundedSides(context, given);
  const { rows, inner, columns, a, b, y, bias, adds = false } = product;
  const along = alongOf(product) as Sides<Contiguous>;
  const program = matrixCoresProgram({
    a: { along: along.a, isHalf: a.isHalf ?? false, isWhole: rows % CORE_TILE === 0 },
    b: { along: along.b, isHalf: b.isHalf ?? false, isWhole: columns % CORE_TILE === 0 },
    isInnerWhole: inner % CORE_DEPTH === 0 && inner > 0,
    isAligned: isAligned(y.offset, y.rowStride, y.batchStride),
    ...{ hasBias: bias !== undefined, adds },
  });
  dispatchTiles(context, product, program, coreCost);
}

/** The shape that takes the least time by its measured cost, among those that the device has memory for. */
function shapeFor(context: WebgpuKernelContext, product: GpuProduct): TileShape & TileCost {
  const most = context.limits.maxComputeWorkgroupStorageSize;
  const times = shapes
    .slice(0, isLarge(product, WORTH_LARGE_TILES) ? shapes.length : 1)
    .filter((shape) => tiledBytes(shape) <= most)
    .map((shape) => ({ shape, time: planOf(product, shape).microseconds }));
  return times.reduce((best, one) => (one.time < best.time ? one : best)).shape;
}

function encodeTiled(context: WebgpuKernelContext, product: GpuProduct, { a, b }: Sides<Contiguous>): void {
  const { rows, inner, columns, y, bias, adds = false } = product;
  const shape = shapeFor(context, product);
  const wide = y.columnStride === 1 && isAligned(y.offset, y.rowStride, y.batchStride, columns);
  const isWhole = rows % shape.rows === 0 && columns % shape.columns === 0 && inner % shape.depth === 0 && inner > 0;
  const isUnrolled = context.subgroupSize >= 16;
  const program = tiledProgram({ shape, a, b, isWhole, wide, hasBias: bias !== undefined, adds, isUnrolled });
  dispatchTiles(context, product, program, shape);
}
