import type { Program, WebgpuKernel } from "../../backends/webgpu/index.ts";
import { philoxCode, streamParams, streamValues } from "../random/webgpu.ts";

const WORKGROUP = 64;

const program: Program = {
  name: "dropout",
  bindings: [
    { name: "x", type: "f32" },
    { name: "y", type: "f32", write: true },
  ],
  params: [
    ...(["count:u32", "middle:u32", "inner:u32", "xOffset:u32", "outerStride:u32", "middleStride:u32"] as const),
    ...(["yOffset:u32", "threshold:u32", "scale:f32"] as const),
    ...streamParams,
  ],
  workgroup: WORKGROUP,
  declarations: philoxCode,
  body: `
  if (index >= p.count) { return; }
  let inner = index % p.inner;
  let middle = (index / p.inner) % p.middle;
  let outer = index / (p.inner * p.middle);
  let word = streamWord(outer * p.inner + inner, p.seedLow, p.seedHigh, p.stream);
  let value = x[p.xOffset + outer * p.outerStride + middle * p.middleStride + inner];
  // not a product with 0, which keeps NaN
  y[p.yOffset + index] = select(0.0, value * p.scale, (word >> 8u) >= p.threshold);`,
};

const dropout: WebgpuKernel = (context, { inputs, outputs, axes, params }) => {
  const [x, y] = [inputs["x"]!, outputs["y"]!];
  if (y.size === 0) return;
  const values = {
    ...{ count: y.size, middle: axes["middle"]!, inner: axes["inner"]!, xOffset: x.offset, yOffset: y.offset },
    ...{ outerStride: x.strides[0]!, middleStride: x.strides[1]! },
    ...{ threshold: params["threshold"] as number, scale: params["scale"] as number },
    ...streamValues(params),
  };
  context.dispatch(program, [x, y], values, Math.ceil(y.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const dropoutWebgpu = { dropout } as const satisfies Record<string, WebgpuKernel>;
