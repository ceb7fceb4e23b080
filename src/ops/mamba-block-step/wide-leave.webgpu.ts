import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import { halfWeight } from "../linear/weight.webgpu.ts";
import {
  type CoreStrip,
  lines,
  STRIP_THREADS,
  stripCode,
  stripDeclarations,
  stripPlan,
  stripStore,
  VECTOR,
} from "../matmul/core-strip.webgpu.ts";
import { scalesOf } from "./thin-block.webgpu.ts";
import { LEAVE_COLUMNS, leaveRows, variantKey, type WideBlock } from "./wide-block.webgpu.ts";

/** y = x + outProj gated + bias. A workgroup has 16 columns of up to 32 rows. */
export function wideLeaveProgram(block: WideBlock): Program {
  const { rows, dModel, dInner, outProjBias } = block;
  return programNamed(
    `mambaBlockStep wide leave, matrix cores ${variantKey(block)}${outProjBias ? " outBias" : ""} ${block.storage}`,
    () => {
      const vectors = dInner / VECTOR;
      const strip: CoreStrip = {
        rows: leaveRows(block),
        columns: LEAVE_COLUMNS,
        inner: dInner,
        a: (row, vector) => `gated[(firstRow + ${row}) * ${vectors}u + ${vector}]`,
        b: (column, vector) => `halves_outProj(p.outProjAt + (firstColumn + ${column}) * ${vectors}u + ${vector})`,
      };
      const plan = stripPlan(strip, block.storage);
      const outProj = halfWeight("outProj", block.formats.outProj, scalesOf(block, "outProj"));
      const tiles = dModel / LEAVE_COLUMNS;
      const own = (strip.rows * LEAVE_COLUMNS) / STRIP_THREADS;
      const rowOf = (i: number): string => `lane / ${LEAVE_COLUMNS}u + ${(i * STRIP_THREADS) / LEAVE_COLUMNS}u`;
      const place = (i: number): string => `(firstRow + ${rowOf(i)}) * ${dModel}u + column`;
      const early = lines(
        own,
        (i) =>
          `var residual${i} = 0.0; if (firstRow + ${rowOf(i)} < ${rows}u) { residual${i} = x[p.xAt + ${place(i)}]${outProjBias ? " + outProjBias[p.outProjBiasAt + column]" : ""}; }`,
      );
      return {
        requires: ["f16", "subgroups", "chromium_experimental_subgroup_matrix"],
        bindings: [
          { name: "gated", type: "vec4<u32>" },
          outProj.binding,
          ...(outProjBias ? [{ name: "outProjBias", type: "f32" } as const] : []),
          { name: "x", type: "f32" },
          { name: "out", type: "f32", write: true },
        ],
        params: ["outProjAt:u32", "outProjBiasAt:u32", "xAt:u32", "yAt:u32"],
        workgroup: STRIP_THREADS,
        declarations: `${outProj.load}\n${stripDeclarations(strip, plan)}`,
        body: `
  let firstRow = group / ${tiles}u * ${strip.rows}u;
  let firstColumn = group % ${tiles}u * ${LEAVE_COLUMNS}u;
  let column = firstColumn + lane % ${LEAVE_COLUMNS}u;
  ${stripCode(strip, plan, early)}
  ${stripStore(strip)}
  ${lines(own, (i) => `if (firstRow + ${rowOf(i)} < ${rows}u) { out[p.yAt + ${place(i)}] = residual${i} + stripSum(${rowOf(i)}, lane % ${LEAVE_COLUMNS}u); }`)}`,
      };
    },
  );
}
