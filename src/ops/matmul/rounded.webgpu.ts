import { type Program, programNamed, type WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { type GpuMatrix, HALF_VECTOR, isAligned } from "./gpu-matrix.ts";

const WORKGROUP = 256;

/** WGSL: eight numbers as float16, in the words that a vec4<u32> has. */
export const packHalves = `
fn packHalves(low: vec4<f32>, high: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(bitcast<vec2<u32>>(vec4<f16>(low)), bitcast<vec2<u32>>(vec4<f16>(high)));
}`;

/** One vector of eight a thread; rows are padded with zeros. */
const roundProgram = (wide: boolean): Program =>
  programNamed(`product round${wide ? " wide" : ""}`, () => ({
    requires: ["f16"],
    bindings: [
      { name: "x", type: wide ? "vec4<f32>" : "f32" },
      { name: "out", type: "vec4<u32>", write: true },
    ],
    params: ["vectors:u32", "columns:u32", "xOffset:u32", "xRow:u32", "count:u32"],
    workgroup: WORKGROUP,
    declarations: packHalves,
    body: `
  if (index >= p.count) { return; }
  let first = index % p.vectors * ${HALF_VECTOR}u;
  let start = p.xOffset + index / p.vectors * p.xRow + first;
  ${
    wide
      ? "out[index] = packHalves(x[start / 4u], x[start / 4u + 1u]);"
      : `var values = array<f32, ${HALF_VECTOR}>();
  for (var i = 0u; i < min(${HALF_VECTOR}u, p.columns - first); i++) { values[i] = x[start + i]; }
  out[index] = packHalves(
    vec4<f32>(values[0], values[1], values[2], values[3]),
    vec4<f32>(values[4], values[5], values[6], values[7]));`
  }`,
  }));

/** Elements of a row of float16 with its padding. */
export const halfStride = (columns: number): number => Math.ceil(columns / HALF_VECTOR) * HALF_VECTOR;

/**
 * A dense copy in float16 for matrix cores, whose rows are padded with zeros; half of the bytes that products then read again and
 * again. Numbers past the range of float16 become infinite, as they do when a product rounds them itself.
 *
 * @param matrix - [rows columns] float32, its rows contiguous
 */
export function roundedMatrix(
  context: WebgpuKernelContext,
  matrix: GpuMatrix,
  rows: number,
  columns: number,
): GpuMatrix {
  const rowStride = halfStride(columns);
  const bound = context.scratch(2 * rows * rowStride);
  const vectors = rowStride / HALF_VECTOR;
  const wide = columns === rowStride && isAligned(matrix.offset, matrix.rowStride);
  const values = { vectors, columns, xOffset: matrix.offset, xRow: matrix.rowStride, count: rows * vectors };
  context.dispatch(roundProgram(wide), [matrix.bound, bound], values, Math.ceil((rows * vectors) / WORKGROUP));
  return { bound, offset: 0, rowStride, columnStride: 1, batchStride: 0, isHalf: true };
}
