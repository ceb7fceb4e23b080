import {
  type Bound,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
} from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { HALF_VECTOR } from "../matmul/gpu-matrix.ts";
import {
  encodeProduct,
  encodeThin,
  type GpuMatrix,
  type GpuProduct,
  roundsProducts,
  transposedMatrix,
} from "../matmul/product.webgpu.ts";
import { encodeStrip, suitsStrip } from "../matmul/strip-product.webgpu.ts";
import { MOST_THIN_ROWS } from "../matmul/thin.webgpu.ts";
import { copyInto, denseCopy } from "../movement/webgpu.ts";
import { sumRows } from "../reduce/webgpu.ts";
import { halfWeight as eightsWeight, formatOf, type GpuFormat, quadWeight, scalesAt } from "./weight.webgpu.ts";

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

/** A weight [rows columns] in float32: unpacked first where it lies in panels or blocks, widened first where it is float16. */
export function weightOf(context: WebgpuKernelContext, w: Tensor): GpuMatrix {
  const columns = w.shape[1]!;
  const made = (bound: Bound): GpuMatrix => ({
    bound,
    ...{ offset: 0, rowStride: columns, columnStride: 1, batchStride: 0 },
  });
  if (w.dtype === "float16") return made(widened(context, w));
  if (w.layout === "blocks") return made(dequantized(context, w, false));
  if (w.layout !== "strided") return made(unpacked(context, w));
  return { bound: w, offset: w.offset, rowStride: w.strides[0]!, columnStride: 1, batchStride: 0 };
}

/** A weight of int8 or int4 as it lies. */
function blockWeight(w: Tensor): GpuMatrix | undefined {
  const format = formatOf(w);
  if (format !== "int8" && format !== "int4") return undefined;
  const blocks = { format, scalesAt: scalesAt(format, w.size) };
  return { bound: w, offset: 0, rowStride: w.shape[1]!, columnStride: 1, batchStride: 0, blocks };
}

/** A float16 weight as it lies, if its rows are whole vectors. */
function halfWeight(w: Tensor): GpuMatrix | undefined {
  const isAligned = [w.offset, w.strides[0]!, w.shape[1]!].every((number) => number % HALF_VECTOR === 0);
  if (w.dtype !== "float16" || !isAligned) return undefined;
  return { bound: w, offset: w.offset, rowStride: w.strides[0]!, columnStride: 1, batchStride: 0, isHalf: true };
}

/** A weight of 16 bits or fewer where the product of x with it reads it so, else {@link weightOf}. */
function weightFor(context: WebgpuKernelContext, w: Tensor, rows: number): GpuMatrix {
  const isWide = rows >= LEAST_MATRIX && w.shape[0]! >= LEAST_MATRIX && roundsProducts(context);
  if (!isWide) return weightOf(context, w);
  if (w.layout !== "blocks") return halfWeight(w) ?? weightOf(context, w);
  const bound = dequantized(context, w, true);
  return { bound, offset: 0, rowStride: w.shape[1]!, columnStride: 1, batchStride: 0, isHalf: true };
}

function denseMatrix(y: Tensor): GpuMatrix {
  const rowStride = y.shape.length > 1 ? y.strides.at(-2)! : y.shape[0]!;
  return { bound: y, offset: y.offset, rowStride, columnStride: 1, batchStride: 0 };
}

const linear: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [x, w, bias, y] = [inputs["x"]!, inputs["w"]!, inputs["bias"], outputs["y"]!];
  const [a, rows] = [rowsOf(context, x), rowCount(y)];
  const productWith = (weight: GpuMatrix): GpuProduct => ({
    ...{ batch: 1, rows, inner: axes["inFeatures"]!, columns: axes["outFeatures"]! },
    ...{ a, b: transposedMatrix(weight), y: denseMatrix(y) },
    ...(bias ? { bias: { bound: bias, offset: bias.offset } } : {}),
  });
  const small = halfWeight(w) ?? blockWeight(w);
  const isThin = rows <= MOST_THIN_ROWS && [a.offset, a.rowStride].every((number) => number % 4 === 0);
  if (small && roundsProducts(context) && suitsStrip(productWith(small))) encodeStrip(context, productWith(small));
  else if (small && isThin && rows > 0) encodeThin(context, productWith(small));
  else encodeProduct(context, productWith(weightFor(context, w, rows)));
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

const dequantizeProgram = (format: GpuFormat, toHalf: boolean): Program =>
  programNamed(`dequantizeWeight ${format}${toHalf ? " to half" : ""}`, () => {
    const weight = toHalf ? eightsWeight("w", format, "p.scalesAt") : quadWeight("w", format, "p.scalesAt");
    return {
      bindings: [weight.binding, { name: "out", type: toHalf ? "vec4<u32>" : "vec4<f32>", write: true }],
      params: ["scalesAt:u32", "count:u32"],
      workgroup: WORKGROUP,
      declarations: weight.load,
      body: `
  if (index >= p.count) { return; }
  out[index] = ${toHalf ? "halves_w" : "load_w"}(index);`,
    };
  });

function dequantize(context: WebgpuKernelContext, w: Tensor, out: Bound, toHalf: boolean): void {
  const count = w.size / (toHalf ? HALF_VECTOR : 4);
  const program = dequantizeProgram(w.dtype as GpuFormat, toHalf);
  context.dispatch(program, [w, out], { scalesAt: scalesAt(w.dtype, w.size), count }, Math.ceil(count / WORKGROUP));
}

function dequantized(context: WebgpuKernelContext, w: Tensor, toHalf: boolean): Bound {
  const to = context.scratch((toHalf ? 2 : 4) * w.size);
  dequantize(context, w, to, toHalf);
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
  else if (packed.layout === "blocks") dequantize(context, packed, w, false);
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
