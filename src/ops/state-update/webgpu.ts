import { type Program, type WebgpuKernel, wgslMath } from "../../backends/webgpu/index.ts";
import { pack } from "../selective-scan/packed.webgpu.ts";

const WORKGROUP = 64;

function program(states: number, softplus: boolean, has: ReadonlySet<string>): Program {
  return {
    name: `stateUpdate ${states}${softplus ? " softplus" : ""} ${[...has].sort().join(" ")}`,
    bindings: [
      { name: "small", type: "f32" },
      { name: "rows", type: "f32" },
      { name: "h", type: "f32", write: true },
      { name: "y", type: "f32", write: true },
    ],
    params: [
      ...(["count:u32", "channels:u32", "groups:u32", "hOffset:u32", "hBatch:u32", "hChannel:u32"] as const),
      ...["A", "D", "deltaBias", "u", "delta", "z", "B", "C"].map((name) => `${name}Offset:u32` as const),
    ],
    workgroup: WORKGROUP,
    declarations: wgslMath("exp", "softplus", "sigmoid"),
    body: `
  if (index >= p.count) { return; }
  let c = index % p.channels;
  let b = index / p.channels;
  let raw = rows[p.deltaOffset + index]${has.has("deltaBias") ? " + small[p.deltaBiasOffset + c]" : ""};
  let delta = ${softplus ? "select(softplusOf(raw), raw, raw > 20.0)" : "raw"};
  let u = rows[p.uOffset + index];
  let own = (b * p.groups + c * p.groups / p.channels) * ${states}u;
  let at = p.hOffset + b * p.hBatch + c * p.hChannel;
  var sum = ${has.has("D") ? "small[p.DOffset + c] * u" : "0.0"};
  for (var n = 0u; n < ${states}u; n++) {
    let next = expOf(delta * small[p.AOffset + c * ${states}u + n]) * h[at + n] + delta * u * rows[p.BOffset + own + n];
    h[at + n] = next;
    sum = fma(rows[p.COffset + own + n], next, sum);
  }
  ${has.has("z") ? "let z = rows[p.zOffset + index]; sum = sum * z * sigmoidOf(z);" : ""}
  y[index] = sum;`,
  };
}

const stateUpdate: WebgpuKernel = (context, { inputs, outputs, axes, params }) => {
  const [h, y] = [inputs["h"]!, outputs["y"]!];
  if (y.size === 0) return;
  const has = new Set(["D", "deltaBias", "z"].filter((name) => inputs[name] !== undefined));
  const small = pack(context, ["A", "D", "deltaBias"], inputs);
  const rows = pack(context, ["u", "delta", "z", "B", "C"], inputs);
  const values = {
    ...{ count: y.size, channels: axes["channels"]!, groups: axes["groups"]! },
    ...{ hOffset: h.offset, hBatch: h.strides[0]!, hChannel: h.strides[1]! },
    ...small.offsets,
    ...rows.offsets,
  };
  const own = program(axes["state"]!, Boolean(params["deltaSoftplus"]), has);
  context.dispatch(own, [small.bound, rows.bound, h, y], values, Math.ceil(y.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const stateUpdateWebgpu = { stateUpdate } as const satisfies Record<string, WebgpuKernel>;
