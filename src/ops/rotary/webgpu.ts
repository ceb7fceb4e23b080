import type { Program, WebgpuKernel } from "../../backends/webgpu/index.ts";

const WORKGROUP = 64;

const program: Program = {
  name: "rotary",
  bindings: [
    { name: "x", type: "f32" },
    { name: "turns", type: "f32" },
    { name: "y", type: "f32", write: true },
  ],
  params: [
    ...(["count:u32", "length:u32", "heads:u32", "half:u32", "yOffset:u32"] as const),
    ...(["xOffset:u32", "batchStride:u32", "tokenStride:u32", "headStride:u32"] as const),
  ],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  let i = index % p.half;
  let head = (index / p.half) % p.heads;
  let token = (index / (p.half * p.heads)) % p.length;
  let batch = index / (p.half * p.heads * p.length);
  let source = p.xOffset + batch * p.batchStride + token * p.tokenStride + head * p.headStride + i;
  let place = p.yOffset + (index / p.half) * 2u * p.half + i;
  let cosine = turns[(token * p.half + i) * 2u];
  let sine = turns[(token * p.half + i) * 2u + 1u];
  let first = x[source];
  let second = x[source + p.half];
  y[place] = first * cosine - second * sine;
  y[place + p.half] = second * cosine + first * sine;`,
};

const rotary: WebgpuKernel = (context, { inputs, outputs, axes, params }) => {
  const [x, y] = [inputs["x"]!, outputs["y"]!];
  if (y.size === 0) return;
  const [length, heads, half] = [axes["length"]!, axes["heads"]!, axes["width"]! / 2];
  const { offset, base, inverse } = params as { offset: number; base: number; inverse: boolean };
  // angles of large positions need float64, which devices do not have
  const turns = new Float32Array(2 * length * half);
  for (let token = 0; token < length; token++) {
    for (let i = 0; i < half; i++) {
      const angle = (offset + token) * base ** (-i / half);
      turns[2 * (token * half + i)] = Math.cos(angle);
      turns[2 * (token * half + i) + 1] = inverse ? -Math.sin(angle) : Math.sin(angle);
    }
  }
  const count = y.size / 2;
  const [batchStride, tokenStride, headStride] = x.strides as [number, number, number];
  const places = { xOffset: x.offset, batchStride, tokenStride, headStride, yOffset: y.offset };
  const bound = [x, context.upload(turns), y];
  context.dispatch(program, bound, { count, length, heads, half, ...places }, Math.ceil(count / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const rotaryWebgpu = { rotary } as const satisfies Record<string, WebgpuKernel>;
