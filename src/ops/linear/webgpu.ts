import type { Bound, Program, WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { HALF_VECTOR } from "../matmul/gpu-matrix.ts";
import {
  encodeProduct,
  type GpuMatrix,
  type GpuProduct,
  roundsProducts,
  transposedMatrix,
} from "../matmul/product.webgpu.ts";
import { encodeStrip, suitsStrip } from "../matmul/strip-product.webgpu.ts";
import { MOST_THIN_ROWS } from "../matmul/thin.webgpu.ts";
import { copyInto, denseCopy } from "../movement/webgpu.ts";
import { sumRows } from "../reduce/webgpu.ts";

const WORKGROUP = 64;
/** The least rows and columns of a product on matrix cores. */
const LEAST_MATRIX = 16;

function rowCount(x: Tensor): number {
  return x.shape.slice(0, -1).reduce((product, size) => product * size, 1);
}

/** All leading axes as rows; copied where they are no single stride. */
export function rowsOf(context: WebgpuKernelContext, x: Tensor): GpuMatrix {
  const columns = x.shape.at(-1)!;
  const long = x.shape.slice(0, -1).flatMap((size, axis) => (size === 1 ? [] : [axis]));
  const isEven = long.every((axis, i) => {
    const next = long[i + 1];
    return next === undefined || x.strides[axis] === x.strides[next]! * x.shape[next]!;
  });
  if (!isEven) {
    return { bound: denseCopy(context, x), offset: 0, rowStride: columns, columnStride: 1, batchStride: 0 };
  }
  const rowStride = long.length ? x.strides[long.at(-1)!]! : columns;
  return { bound: x, offset: x.offset, rowStride, columnStride: 1, batchStride: 0 };
}

/** A weight [rows columns], unpacked first where it lies in panels, widened first where it is float16. */
export function weightOf(context: WebgpuKernelContext, w: Tensor): GpuMatrix {
  const columns = w.shape[1]!;
  if (w.dtype === "float16") {
    return { bound: widened(context, w), offset: 0, rowStride: columns, columnStride: 1, batchStride: 0 };
  }
  const isPlain = w.layout === "strided";
  return {
    bound: isPlain ? w : unpacked(context, w),
    offset: isPlain ? w.offset : 0,
    rowStride: isPlain ? w.strides[0]! : columns,
    columnStride: 1,
    batchStride: 0,
  };
}

/** A float16 weight as it lies, if its rows are whole vectors. */
function halfWeight(w: Tensor): GpuMatrix | undefined {
  const isAligned = [w.offset, w.strides[0]!, w.shape[1]!].every((number) => number % HALF_VECTOR === 0);
  if (w.dtype !== "float16" || !isAligned) return undefined;
  return { bound: w, offset: w.offset, rowStride: w.strides[0]!, columnStride: 1, batchStride: 0, isHalf: true };
}

/** A float16 weight as it lies where the product of x with it reads it so, else {@link weightOf}. */
function weightFor(context: WebgpuKernelContext, w: Tensor, x: GpuMatrix, rows: number): GpuMatrix {
  const isThin = rows <= MOST_THIN_ROWS && x.offset % 4 === 0 && x.rowStride % 4 === 0;
  const isWide = rows >= LEAST_MATRIX && w.shape[0]! >= LEAST_MATRIX && roundsProducts(context);
  return (isThin || isWide ? halfWeight(w) : undefined) ?? weightOf(context, w);
}

function denseMatrix(y: Tensor): GpuMatrix {
  return { bound: y, offset: y.offset, rowStride: y.shape.at(-1)!, columnStride: 1, batchStride: 0 };
}

const linear: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [x, w, bias, y] = [inputs["x"]!, inputs["w"]!, inputs["bias"], outputs["y"]!];
  const [a, rows] = [rowsOf(context, x), rowCount(y)];
  const productWith = (weight: GpuMatrix): GpuProduct => ({
    ...{ batch: 1, rows, inner: axes["inFeatures"]!, columns: axes["outFeatures"]! },
    ...{ a, b: transposedMatrix(weight), y: denseMatrix(y) },
    ...(bias ? { bias: { bound: bias, offset: bias.offset } } : {}),
  });
  const half = halfWeight(w);
  const strip = half && roundsProducts(context) ? productWith(half) : undefined;
  if (strip && suitsStrip(strip)) encodeStrip(context, strip);
  else encodeProduct(context, productWith(weightFor(context, w, a, rows)));
};

const linearInputGradient: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [dy, w, dx] = [inputs["dy"]!, inputs["w"]!, outputs["dx"]!];
  encodeProduct(context, {
    ...{ batch: 1, rows: rowCount(dx), inner: axes["outFeatures"]!, columns: axes["inFeatures"]! },
    a: rowsOf(context, dy),
    b: weightOf(context, w),
    y: denseMatrix(dx),
  });
};

const linearWeightGradient: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [dw, dbias] = [outputs["dw"]!, outputs["dbias"]];
  const dy = rowsOf(context, inputs["dy"]!);
  const [inner, rows, columns] = [rowCount(inputs["dy"]!), axes["outFeatures"]!, axes["inFeatures"]!];
  encodeProduct(context, {
    ...{ batch: 1, rows, inner, columns },
    a: transposedMatrix(dy),
    b: rowsOf(context, inputs["x"]!),
    y: denseMatrix(dw),
  });
  if (dbias) sumRows(context, dy, inner, dbias);
};

/** Panels are [ceil(rows / 8)] [columns] [8], rows past the end zero. */
const packProgram: Program = {
  name: "packWeight",
  bindings: [
    { name: "w", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["rows:u32", "columns:u32", "wOffset:u32", "wRow:u32", "count:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  let row = index / (8u * p.columns) * 8u + index % 8u;
  let column = (index / 8u) % p.columns;
  var value = 0.0;
  if (row < p.rows) { value = w[p.wOffset + row * p.wRow + column]; }
  out[index] = value;`,
};

const unpackProgram: Program = {
  name: "unpackWeight",
  bindings: packProgram.bindings,
  params: ["columns:u32", "outOffset:u32", "count:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  let row = index / p.columns;
  out[p.outOffset + index] = w[(row / 8u * p.columns + index % p.columns) * 8u + row % 8u];`,
};

function unpack(context: WebgpuKernelContext, packed: Tensor, out: Bound, outOffset: number): void {
  const [rows, columns] = packed.shape as [number, number];
  const params = { columns, outOffset, count: rows * columns };
  context.dispatch(unpackProgram, [packed, out], params, Math.ceil((rows * columns) / WORKGROUP));
}

function unpacked(context: WebgpuKernelContext, packed: Tensor): Bound {
  const to = context.scratch(4 * packed.size);
  unpack(context, packed, to, 0);
  return to;
}

const widenProgram: Program = {
  name: "widenWeight",
  bindings: [
    { name: "w", type: "u32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["columns:u32", "wOffset:u32", "wRow:u32", "count:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  let at = p.wOffset + (index / p.columns) * p.wRow + index % p.columns;
  out[index] = unpack2x16float(w[at / 2u])[at % 2u];`,
};

function widened(context: WebgpuKernelContext, w: Tensor): Bound {
  const to = context.scratch(4 * w.size);
  const params = { columns: w.shape[1]!, wOffset: w.offset, wRow: w.strides[0]!, count: w.size };
  context.dispatch(widenProgram, [w, to], params, Math.ceil(w.size / WORKGROUP));
  return to;
}

const packWeight: WebgpuKernel = (context, { inputs, outputs }) => {
  const [w, packed] = [inputs["w"]!, outputs["packed"]!];
  const [rows, columns] = w.shape as [number, number];
  const count = Math.ceil(rows / 8) * 8 * columns;
  const params = { rows, columns, wOffset: w.offset, wRow: w.strides[0]!, count };
  context.dispatch(packProgram, [w, packed], params, Math.ceil(count / WORKGROUP));
};

const unpackWeight: WebgpuKernel = (context, { inputs, outputs }) => {
  const [packed, w] = [inputs["packed"]!, outputs["w"]!];
  if (packed.layout === "panels8") unpack(context, packed, w, w.offset);
  else copyInto(context, packed, w, w);
};

/** WebGPU kernels of this folder. */
export const linearWebgpu = {
  linear,
  linearInputGradient,
  linearWeightGradient,
  packWeight,
  unpackWeight,
} as const satisfies Record<string, WebgpuKernel>;
