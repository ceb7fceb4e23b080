import { type Program, programNamed, type WebgpuKernel, wgslMath } from "../../backends/webgpu/index.ts";
import { WORKGROUP } from "./variant.webgpu.ts";

const updateProgram = (window: number, silu: boolean, hasBias: boolean): Program =>
  programNamed(`convUpdate ${window}${silu ? " silu" : ""}${hasBias ? " bias" : ""}`, () => ({
    bindings: [
      { name: "x", type: "f32" },
      { name: "weight", type: "f32" },
      ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
      { name: "state", type: "f32", write: true },
      { name: "y", type: "f32", write: true },
    ],
    params: [
      ...(["count:u32", "channels:u32", "xOffset:u32", "xRow:u32", "weightOffset:u32", "weightRow:u32"] as const),
      ...(["biasOffset:u32", "stateOffset:u32", "stateBatch:u32", "stateRow:u32"] as const),
    ],
    workgroup: WORKGROUP,
    declarations: wgslMath("sigmoid"),
    body: `
  if (index >= p.count) { return; }
  let b = index / p.channels;
  let c = index % p.channels;
  let fresh = x[p.xOffset + b * p.xRow + c];
  let row = p.weightOffset + c * p.weightRow;
  var sum = ${hasBias ? "bias[p.biasOffset + c]" : "0.0"} + weight[row + ${window - 1}u] * fresh;
  for (var k = 0u; k < ${window - 1}u; k++) {
    let place = p.stateOffset + b * p.stateBatch + k * p.stateRow + c;
    sum += weight[row + k] * state[place];
    if (k + 2u < ${window}u) { state[place] = state[place + p.stateRow]; } else { state[place] = fresh; }
  }
  y[index] = ${silu ? "sum * sigmoidOf(sum)" : "sum"};`,
  }));

/** One step. */
export const convUpdate: WebgpuKernel = (context, { inputs, outputs, axes, params: given }) => {
  const [x, weight, state, y] = [inputs["x"]!, inputs["weight"]!, inputs["state"]!, outputs["y"]!];
  const { bias } = inputs;
  if (y.size === 0) return;
  const own = updateProgram(axes["window"]!, given["activation"] === "silu", bias !== undefined);
  const values = {
    ...{ count: y.size, channels: axes["channels"]!, xOffset: x.offset, xRow: x.strides[0]! },
    ...{ weightOffset: weight.offset, weightRow: weight.strides[0]!, biasOffset: bias?.offset ?? 0 },
    ...{ stateOffset: state.offset, stateBatch: state.strides[0]!, stateRow: state.strides[1]! },
  };
  const bound = [x, weight, ...(bias ? [bias] : []), state, y];
  context.dispatch(own, bound, values, Math.ceil(y.size / WORKGROUP));
};
