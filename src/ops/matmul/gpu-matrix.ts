import type { Bound } from "../../backends/webgpu/index.ts";
import type { Along } from "./tiled.webgpu.ts";

/** A matrix in a buffer, in elements; `batchStride` 0 repeats it. */
export interface GpuMatrix {
  readonly bound: Bound;
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
  readonly batchStride: number;
  /** Whether elements are float16, in rows that are padded with zeros to {@link HALF_VECTOR}; only matrix cores read such, and thin products as b. */
  readonly isHalf?: boolean;
  /** Of a weight in blocks; only thin products and strips read such, as b. */
  readonly blocks?: { readonly format: "int8" | "int4"; readonly scalesAt: number };
}

/** Elements of float16 that are read at a time. */
export const HALF_VECTOR = 8;

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

export type Sides<T> = Record<"a" | "b", T>;

/** The same matrix with rows and columns exchanged. */
export function transposedMatrix(matrix: GpuMatrix): GpuMatrix {
  return { ...matrix, rowStride: matrix.columnStride, columnStride: matrix.rowStride };
}

/** y^T = b^T a^T. */
export function exchanged(product: GpuProduct): GpuProduct {
  return {
    ...product,
    rows: product.columns,
    columns: product.rows,
    a: transposedMatrix(product.b),
    b: transposedMatrix(product.a),
    y: transposedMatrix(product.y),
  };
}

export const isAligned = (...numbers: readonly number[]): boolean => numbers.every((number) => number % 4 === 0);

/** Along which axes vectors of neighbours can be loaded at once. */
export function alongOf({ a, b, rows, inner, columns }: GpuProduct): Sides<Along> {
  return {
    a: alongSide(a, a.columnStride, a.rowStride, inner, rows),
    b: alongSide(b, b.rowStride, b.columnStride, inner, columns),
  };
}

/** `inner` and `outer` are sizes, the strides those of the two axes. */
function alongSide(matrix: GpuMatrix, innerStride: number, outerStride: number, inner: number, outer: number): Along {
  if (matrix.isHalf) return innerStride === 1 ? "inner" : "outer";
  if (!isAligned(matrix.offset, matrix.batchStride)) return "strided";
  if (innerStride === 1 && isAligned(outerStride, inner)) return "inner";
  if (outerStride === 1 && isAligned(innerStride, outer)) return "outer";
  return "strided";
}

export function boundOf({ a, b, y, bias }: GpuProduct): Bound[] {
  return [a.bound, b.bound, ...(bias ? [bias.bound] : []), y.bound];
}

/** Parameters of where the three matrices lie. */
export function strideValues({ a, b, y }: Pick<GpuProduct, "a" | "b" | "y">): Record<string, number> {
  return {
    ...{ aOffset: a.offset, aRow: a.rowStride, aColumn: a.columnStride, aBatch: a.batchStride },
    ...{ bOffset: b.offset, bRow: b.rowStride, bColumn: b.columnStride, bBatch: b.batchStride },
    ...{ yOffset: y.offset, yRow: y.rowStride, yColumn: y.columnStride, yBatch: y.batchStride },
  };
}
