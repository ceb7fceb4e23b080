import { type Program, programNamed, type WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { type GpuFormat, halfWeight } from "../linear/weight.webgpu.ts";
import {
  type CoreStrip,
  FRAGMENT,
  lines,
  STRIP_THREADS,
  stripCode,
  stripDeclarations,
  stripPlan,
  VECTOR,
} from "./core-strip.webgpu.ts";
import type { GpuProduct } from "./gpu-matrix.ts";

/** Columns that a workgroup works out. */
const COLUMNS = 128;
/** Below are so few rows that products of theirs need no matrix cores. */
const LEAST_ROWS = 5;
const MOST_ROWS = 64;
/** A product with fewer is quick in any way. */
const LEAST_COLUMNS = 2048;

interface StripVariant {
  readonly rows: number;
  readonly inner: number;
  readonly hasBias: boolean;
  readonly format: GpuFormat;
  /** Bytes of workgroup memory. */
  readonly storage: number;
}

const tileRows = (rows: number): number => (rows <= 16 ? 16 : rows <= 32 ? 32 : MOST_ROWS);

/** Few rows of float32 times a matrix of many columns in float16, all rows in one tile: the matrix is read once. */
function stripProgram({ rows, inner, hasBias, format, storage }: StripVariant): Program {
  return programNamed(
    `product strip, matrix cores ${rows}x${inner}${hasBias ? " bias" : ""} ${format} ${storage}`,
    () => {
      const strip: CoreStrip = {
        ...{ rows, columns: COLUMNS, inner },
        a: (row, vector) => `packed((p.aOffset + min(${row}, p.rows - 1u) * p.aRow) / 4u + 2u * (${vector}))`,
        b: (column, vector) =>
          `halves_b((p.bOffset + min(firstColumn + ${column}, p.columns - 1u) * p.bColumn) / ${VECTOR}u + ${vector})`,
      };
      const plan = stripPlan(strip, storage);
      const weight = halfWeight("b", format, "p.scalesAt");
      return {
        requires: ["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
        bindings: [
          { name: "a", type: "vec4<f32>" },
          weight.binding,
          ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
          { name: "out", type: "f32", write: true },
        ],
        params: [
          ...(["rows:u32", "columns:u32", "aOffset:u32", "aRow:u32", "bOffset:u32", "bColumn:u32"] as const),
          ...(["biasOffset:u32", "yOffset:u32", "yRow:u32", "scalesAt:u32"] as const),
        ],
        workgroup: STRIP_THREADS,
        declarations: `
${weight.load}
${stripDeclarations(strip, plan)}
fn packed(at: u32) -> vec4<u32> {
  let low = a[at];
  let high = a[at + 1u];
  return vec4<u32>(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}`,
        body: `
  let firstColumn = group * ${COLUMNS}u;
  ${stripCode(strip, plan)}
  ${lines(plan.fragments, (i) => writeCode(i, hasBias))}`,
      };
    },
  );
}

/** WGSL: the i-th fragment of each subgroup, by way of workgroup memory. */
const writeCode = (i: number, hasBias: boolean): string => `
  ${i > 0 ? "workgroupBarrier();" : ""}
  subgroupMatrixStore<row_major>(&edge[across], 0u, sum${i}, ${FRAGMENT}u);
  workgroupBarrier();
  for (var e = lane; e < ${FRAGMENT * COLUMNS}u; e += ${STRIP_THREADS}u) {
    let row = ${i * FRAGMENT}u + e / ${COLUMNS}u;
    let column = firstColumn + e % ${COLUMNS}u;
    if (row < p.rows && column < p.columns) {
      let value = edge[e % ${COLUMNS}u / ${FRAGMENT}u][e / ${COLUMNS}u * ${FRAGMENT}u + e % ${FRAGMENT}u];
      out[p.yOffset + row * p.yRow + column] = value${hasBias ? " + bias[p.biasOffset + column]" : ""};
    }
  }`;

/** Whether {@link encodeStrip} can do it. */
export function suitsStrip({ rows, inner, columns, a, b, y, batch, adds }: GpuProduct): boolean {
  const isVector = [b.offset, b.columnStride].every((number) => number % VECTOR === 0);
  const isFour = [a.offset, a.rowStride].every((number) => number % 4 === 0);
  const isSmall = b.isHalf === true || b.blocks !== undefined;
  const isHalf = isSmall && !a.isHalf && b.rowStride === 1 && a.columnStride === 1 && y.columnStride === 1;
  const isWide =
    batch === 1 && rows >= LEAST_ROWS && rows <= MOST_ROWS && columns >= LEAST_COLUMNS && inner > 0 && inner % 64 === 0;
  return isWide && isHalf && isVector && isFour && !adds;
}

export function encodeStrip(context: WebgpuKernelContext, { rows, inner, columns, a, b, y, bias }: GpuProduct): void {
  const storage = context.limits.maxComputeWorkgroupStorageSize;
  const format = b.blocks?.format ?? "float16";
  const program = stripProgram({ rows: tileRows(rows), inner, hasBias: bias !== undefined, format, storage });
  const params = {
    ...{ rows, columns, aOffset: a.offset, aRow: a.rowStride, bOffset: b.offset, bColumn: b.columnStride },
    ...{ biasOffset: bias?.offset ?? 0, yOffset: y.offset, yRow: y.rowStride, scalesAt: b.blocks?.scalesAt ?? 0 },
  };
  const bound = [a.bound, b.bound, ...(bias ? [bias.bound] : []), y.bound];
  context.dispatch(program, bound, params, Math.ceil(columns / COLUMNS));
}
