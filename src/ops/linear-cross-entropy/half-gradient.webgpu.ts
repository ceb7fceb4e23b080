import { type Program, programNamed, wgslMath } from "../../backends/webgpu/index.ts";
import { HALF_VECTOR } from "../matmul/gpu-matrix.ts";
import { packHalves } from "../matmul/rounded.webgpu.ts";

export const HALF_GRADIENT_THREADS = 128;

/**
 * dlogits of blocks in float16, eight classes a thread, for products that would round them anyway:
 *
 *     dlogits = (dlosses + dlogSumExp) exp(logits - logSumExp) - dlosses [class is the target]
 *
 * Rows of logits and of dlogits are `vectors` x 8 elements; past the last class dlogits are zero.
 */
export function halfGradientProgram(dlosses: boolean, dlogSumExp: boolean): Program {
  const given = [...(dlosses ? ["dlosses"] : []), ...(dlogSumExp ? ["dlogSumExp"] : [])];
  return programNamed(`dlogits half ${given.join(" ")}`, () => ({
    requires: ["f16"],
    bindings: [
      { name: "logits", type: "vec4<f32>" },
      { name: "targets", type: "i32" },
      { name: "logSumExp", type: "f32" },
      ...given.map((name) => ({ name, type: "f32" as const })),
      { name: "out", type: "vec4<u32>", write: true },
    ],
    params: [
      ...(["count:u32", "vectors:u32", "classes:u32", "vocab:u32", "firstToken:u32", "firstRow:u32"] as const),
      ...(["targetsOffset:u32", "logSumExpOffset:u32", "ignoreIndex:i32"] as const),
      ...given.map((name) => `${name}Offset:u32` as const),
    ],
    workgroup: HALF_GRADIENT_THREADS,
    declarations: `${wgslMath("exp")}
fn probabilities(logits: vec4<f32>, total: f32, scale: f32) -> vec4<f32> {
  let x = logits - total;
  return scale * vec4<f32>(expOf(x.x), expOf(x.y), expOf(x.z), expOf(x.w));
}
${packHalves}`,
    body: `
  if (index >= p.count) { return; }
  let token = p.firstToken + index / p.vectors;
  let first = index % p.vectors * ${HALF_VECTOR}u;
  let target_id = targets[p.targetsOffset + token];
  var low = vec4<f32>(0.0);
  var high = vec4<f32>(0.0);
  if (target_id != p.ignoreIndex && target_id >= 0 && u32(target_id) < p.vocab) {
    let total = logSumExp[p.logSumExpOffset + token];
    let ofLoss = ${dlosses ? "dlosses[p.dlossesOffset + token]" : "0.0"};
    let ofSum = ${dlogSumExp ? "dlogSumExp[p.dlogSumExpOffset + token]" : "0.0"};
    let lowClass = first + vec4<u32>(0u, 1u, 2u, 3u);
    let highClass = lowClass + 4u;
    let own = vec4<u32>(u32(target_id) - p.firstRow);
    low = probabilities(logits[2u * index], total, ofLoss + ofSum) - select(vec4<f32>(0.0), vec4<f32>(ofLoss), lowClass == own);
    high = probabilities(logits[2u * index + 1u], total, ofLoss + ofSum) - select(vec4<f32>(0.0), vec4<f32>(ofLoss), highClass == own);
    low = select(vec4<f32>(0.0), low, lowClass < vec4<u32>(p.classes));
    high = select(vec4<f32>(0.0), high, highClass < vec4<u32>(p.classes));
  }
  out[index] = packHalves(low, high);`,
  }));
}
