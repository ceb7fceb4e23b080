import { type Program, programNamed } from "../../backends/webgpu/index.ts";
import { teamSums } from "./thin-block.webgpu.ts";
import { THREADS, type WideBlock } from "./wide-block.webgpu.ts";

/** norm x in float16; a workgroup has a row. */
export function wideNormProgram({ dModel }: WideBlock): Program {
  return programNamed(`mambaBlockStep norm ${dModel}`, () => {
    const fours = dModel / 4;
    const sums = teamSums(["squares"], THREADS, true);
    const own = Math.ceil(fours / THREADS);
    const each = (code: (i: number) => string): string => Array.from({ length: own }, (_, i) => code(i)).join("\n");
    const has = (i: number): string => `lane + ${i * THREADS}u < ${fours}u`;
    return {
      requires: ["subgroups"],
      bindings: [
        { name: "x", type: "vec4<f32>" },
        { name: "weight", type: "vec4<f32>" },
        { name: "normed", type: "vec2<u32>", write: true },
      ],
      params: ["xAt:u32", "weightAt:u32", "epsilon:f32"],
      workgroup: THREADS,
      declarations: sums.declarations,
      body: `
  let own = lane % 32u;
  let team = lane / 32u;
  var squares = 0.0;
  ${each((i) => `var x${i} = vec4<f32>(0.0); var w${i} = vec4<f32>(0.0);`)}
  ${each((i) => `if (${has(i)}) { x${i} = x[p.xAt + group * ${fours}u + lane + ${i * THREADS}u]; w${i} = weight[p.weightAt + lane + ${i * THREADS}u]; }`)}
  ${each((i) => `squares += dot(x${i}, x${i});`)}
  ${sums.code}
  var sum = 0.0;
  for (var i = 0u; i < ${THREADS / 32}u; i++) { sum += totals[i]; }
  let factor = 1.0 / sqrt(sum / ${dModel}.0 + p.epsilon);
  ${each(
    (i) => `if (${has(i)}) {
    let y = x${i} * factor * w${i};
    normed[group * ${fours}u + lane + ${i * THREADS}u] = vec2<u32>(pack2x16float(y.xy), pack2x16float(y.zw));
  }`,
  )}`,
    };
  });
}
