import {
  mergeAxes,
  type Program,
  type WebgpuKernel,
  walkCode,
  walkParams,
  walkValues,
} from "../../backends/webgpu/index.ts";
import type { Params } from "../../tensor/device.ts";

const WORKGROUP = 64;

/** WGSL of `streamWord(index, seedLow, seedHigh, stream)`: word `index` of a Philox4x32-10 stream. */
export const philoxCode = `
fn multiplyHigh(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let carried = (middle & 0xffffu) + (a & 0xffffu) * (b >> 16u);
  return (a >> 16u) * (b >> 16u) + (middle >> 16u) + (carried >> 16u);
}
fn streamWord(index: u32, seedLow: u32, seedHigh: u32, stream: u32) -> u32 {
  var c = vec4<u32>(index / 4u, 0u, stream, 0u);
  var key = vec2<u32>(seedLow, seedHigh);
  for (var round = 0; round < 10; round++) {
    let high = vec2<u32>(multiplyHigh(0xd2511f53u, c.x), multiplyHigh(0xcd9e8d57u, c.z));
    let low = vec2<u32>(0xd2511f53u * c.x, 0xcd9e8d57u * c.z);
    c = vec4<u32>(high.y ^ c.y ^ key.x, low.y, high.x ^ c.w ^ key.y, low.x);
    key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c[index % 4u];
}`;

/** Parameters of {@link philoxCode}'s stream. */
export const streamParams = ["seedLow:u32", "seedHigh:u32", "stream:u32"] as const;

/** Values of {@link streamParams}. */
export function streamValues(params: Params): Record<string, number> {
  const word = (name: string): number => (params[name] as number) >>> 0;
  return { seedLow: word("seedLow"), seedHigh: word("seedHigh"), stream: word("stream") };
}

const program = (rank: number): Program => ({
  name: `fillUniform rank ${rank}`,
  bindings: [{ name: "y", type: "f32", write: true }],
  params: [...walkParams(["y"], rank), ...streamParams],
  workgroup: WORKGROUP,
  declarations: philoxCode,
  body: `
  if (index >= p.count) { return; }
  ${walkCode(["y"], rank)}
  y[yAt] = f32(streamWord(index, p.seedLow, p.seedHigh, p.stream) >> 8u) * 5.9604645e-8;`,
});

const fillUniform: WebgpuKernel = (context, { inputs, params }) => {
  const y = inputs["y"]!;
  if (y.size === 0) return;
  const merged = mergeAxes(y.shape, [y.strides]);
  const values = { ...walkValues(["y"], [y.offset], merged), ...streamValues(params) };
  context.dispatch(program(merged.sizes.length), [y], values, Math.ceil(y.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const randomWebgpu = { fillUniform } as const satisfies Record<string, WebgpuKernel>;
