import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import {
  dotsCode,
  LANES,
  LEAVE_THREADS,
  type ThinBlock,
  teamSums,
  variantKey,
  weightBinding,
} from "./thin-block.webgpu.ts";

/** y = x + outProj gated + bias. A team has a row of the weight. */
export function leaveProgram(block: ThinBlock): Program {
  const { rows, dModel, dInner, outProjBias, subgroups } = block;
  return programNamed(`mambaBlockStep leave ${variantKey(block)}${outProjBias ? " outBias" : ""}`, () => {
    const outProj = weightBinding(block, "outProj");
    const dots = dotsCode({
      ...{ weight: "outProj", starts: ["start"], rows, fours: dInner / 4 },
      x: (row, k) => `gated[${row * (dInner / 4)}u + ${k}]`,
    });
    const values = Array.from({ length: rows }, (_, row) => `sum${row}_0`);
    const sums = teamSums(values, LEAVE_THREADS, subgroups);
    return {
      ...(subgroups ? { requires: ["subgroups"] } : {}),
      bindings: [
        { name: "gated", type: "vec4<f32>" },
        outProj.binding,
        ...(outProjBias ? [{ name: "outProjBias", type: "f32" } as const] : []),
        { name: "x", type: "f32" },
        { name: "y", type: "f32", write: true },
      ],
      params: ["outProjAt:u32", "outProjBiasAt:u32", "xAt:u32", "yAt:u32"],
      workgroup: LEAVE_THREADS,
      declarations: `${outProj.load}\n${sums.declarations}`,
      body: `
  let own = lane % ${LANES}u;
  let team = lane / ${LANES}u;
  let column = group * ${LEAVE_THREADS / LANES}u + team;
  let isOwn = column < ${dModel}u;
  let start = p.outProjAt + min(column, ${dModel - 1}u) * ${dInner / 4}u;
  var residual = 0.0;
  if (own < ${rows}u && isOwn) { residual = x[p.xAt + own * ${dModel}u + column]${outProjBias ? " + outProjBias[p.outProjBiasAt + column]" : ""}; }
  ${dots}
  ${sums.code}
  if (own < ${rows}u && isOwn) { y[p.yAt + own * ${dModel}u + column] = residual + totals[own * ${LEAVE_THREADS / LANES}u + team]; }`,
    };
  });
}
