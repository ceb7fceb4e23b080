import { groupSum, type Program, programNamed } from "../../backends/webgpu/index.ts";
import { type GpuFormat, quadWeight } from "../linear/weight.webgpu.ts";

/** What a thin program is made for: few rows of a, the summed axis contiguous on both sides. */
export interface ThinVariant {
  /** Rows of a, at most {@link MOST_THIN_ROWS}. */
  readonly rows: number;
  readonly hasBias: boolean;
  readonly adds: boolean;
  readonly format: GpuFormat;
  /** Whether 32 neighbouring threads can add up among themselves. */
  readonly subgroups: boolean;
}

export const MOST_THIN_ROWS = 8;
export const THIN_THREADS = 128;
/** Threads that share a column, and columns that each has: their loads overlap. */
const LANES = 32;
const COLUMNS = 2;
/** Columns of y that a workgroup works out. */
export const THIN_COLUMNS = (THIN_THREADS / LANES) * COLUMNS;

export const thinParams: Program["params"] = [
  ...(["inner:u32", "columns:u32", "groupsOfColumns:u32", "biasOffset:u32"] as const),
  ...(["aOffset:u32", "aRow:u32", "aBatch:u32", "bOffset:u32", "bColumn:u32", "bBatch:u32"] as const),
  ...(["yOffset:u32", "yRow:u32", "yColumn:u32", "yBatch:u32", "scalesAt:u32"] as const),
];

const lines = (count: number, code: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => code(i)).join("\n");

/** Each column of b is read once, by neighbouring threads, for all rows of a. */
export function thinProgram({ rows, hasBias, adds, format, subgroups }: ThinVariant): Program {
  return programNamed(
    `product thin ${rows}${hasBias ? " bias" : ""}${adds ? " adds" : ""}${format === "float32" ? "" : ` ${format}`}${subgroups ? " subgroups" : ""}`,
    () => {
      const weight = quadWeight("b", format, "p.scalesAt");
      const each = (code: (row: number, column: number) => string): string =>
        lines(rows, (row) => lines(COLUMNS, (column) => code(row, column)));
      const total = (row: number, column: number): string => {
        const sum = `dot(sum${row}_${column}, vec4<f32>(1.0))`;
        return subgroups ? `subgroupAdd(${sum})` : `groupSum(lane, ${sum})`;
      };
      return {
        ...(subgroups ? { requires: ["subgroups"] } : {}),
        bindings: [
          { name: "a", type: "vec4<f32>" },
          weight.binding,
          ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
          { name: "out", type: "f32", write: true },
        ],
        params: thinParams,
        workgroup: THIN_THREADS,
        declarations: `${weight.load}\n${subgroups ? "" : groupSum(THIN_THREADS, LANES)}`,
        body: `
  let batch = group / p.groupsOfColumns;
  let first = (group % p.groupsOfColumns) * ${THIN_COLUMNS}u + (lane / ${LANES}u) * ${COLUMNS}u;
  let aStart = (p.aOffset + batch * p.aBatch) / 4u;
  let bStart = (p.bOffset + batch * p.bBatch) / 4u;
  ${lines(COLUMNS, (c) => `let b${c} = bStart + min(first + ${c}u, p.columns - 1u) * (p.bColumn / 4u);`)}
  ${each((row, c) => `var sum${row}_${c} = vec4<f32>(0.0);`)}
  for (var k = lane % ${LANES}u; k < p.inner / 4u; k += ${LANES}u) {
    ${lines(COLUMNS, (c) => `let w${c} = load_b(b${c} + k);`)}
    ${lines(rows, (row) => `{ let x = a[aStart + ${row}u * (p.aRow / 4u) + k]; ${lines(COLUMNS, (c) => `sum${row}_${c} = fma(x, w${c}, sum${row}_${c});`)} }`)}
  }
  ${each(
    (row, c) => `{
    let total = ${total(row, c)};
    if (lane % ${LANES}u == 0u && first + ${c}u < p.columns) {
      let at = p.yOffset + batch * p.yBatch + ${row}u * p.yRow + (first + ${c}u) * p.yColumn;
      out[at] = ${adds ? "out[at] + " : ""}total${hasBias ? ` + bias[p.biasOffset + first + ${c}u]` : ""};
    }
  }`,
  )}`,
      };
    },
  );
}
