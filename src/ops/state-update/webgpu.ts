import { type Program, programNamed, type WebgpuKernel, wgslMath } from "../../backends/webgpu/index.ts";
import { type Operands, placeOperands } from "../selective-scan/operands.webgpu.ts";
import { element } from "../selective-scan/pieces.webgpu.ts";

const WORKGROUP = 64;

function program(states: number, softplus: boolean, operands: Operands): Program {
  return programNamed(`stateUpdate ${states}${softplus ? " softplus" : ""} ${operands.key}`, () => {
    const of = (name: string, row: string, column: string): string => element(operands, name, row, column);
    const has = (name: string): boolean => operands.bufferOf[name] !== undefined;
    return {
      bindings: [
        ...operands.bindings,
        { name: "h", type: "f32", write: true },
        { name: "y", type: "f32", write: true },
      ],
      params: [
        ...(["count:u32", "channels:u32", "groups:u32", "hOffset:u32", "hBatch:u32", "hChannel:u32"] as const),
        ...operands.params,
        "yOffset:u32",
      ],
      workgroup: WORKGROUP,
      declarations: wgslMath("exp", "softplus", "sigmoid"),
      body: `
  if (index >= p.count) { return; }
  let c = index % p.channels;
  let b = index / p.channels;
  let raw = ${of("delta", "b", "c")}${has("deltaBias") ? ` + ${of("deltaBias", "0u", "c")}` : ""};
  let delta = ${softplus ? "select(softplusOf(raw), raw, raw > 20.0)" : "raw"};
  let u = ${of("u", "b", "c")};
  let own = b * p.groups + c * p.groups / p.channels;
  let at = p.hOffset + b * p.hBatch + c * p.hChannel;
  var sum = ${has("D") ? `${of("D", "0u", "c")} * u` : "0.0"};
  for (var n = 0u; n < ${states}u; n++) {
    let next = expOf(delta * ${of("A", "c", "n")}) * h[at + n] + delta * u * ${of("B", "own", "n")};
    h[at + n] = next;
    sum = fma(${of("C", "own", "n")}, next, sum);
  }
  ${has("z") ? `let z = ${of("z", "b", "c")}; sum = sum * z * sigmoidOf(z);` : ""}
  y[p.yOffset + index] = sum;`,
    };
  });
}

const stateUpdate: WebgpuKernel = (context, { inputs, outputs, axes, params }) => {
  const [h, y] = [inputs["h"]!, outputs["y"]!];
  if (y.size === 0) return;
  const operands = placeOperands(context, inputs, ["u", "delta", "z", "A", "D", "deltaBias", "B", "C"], 2);
  const values = {
    ...{ count: y.size, channels: axes["channels"]!, groups: axes["groups"]!, yOffset: y.offset },
    ...{ hOffset: h.offset, hBatch: h.strides[0]!, hChannel: h.strides[1]! },
    ...operands.values,
  };
  const own = program(axes["state"]!, Boolean(params["deltaSoftplus"]), operands);
  context.dispatch(own, [...operands.bound, h, y], values, Math.ceil(y.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const stateUpdateWebgpu = { stateUpdate } as const satisfies Record<string, WebgpuKernel>;
