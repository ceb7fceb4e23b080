import {
  type Bound,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
} from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { powerOfTwo } from "./power-of-two.ts";
import {
  complexCode,
  encodeTransform,
  exchange,
  makeSequences,
  type Sequences,
  WORKGROUP,
} from "./transform.webgpu.ts";

/** WGSL: the chirp exp(-pi i t^2 / length); squares are reduced by parts, since they have more than 32 bits. */
const chirpCode = `${complexCode}
fn chirpOf(t: u32) -> vec2<f32> {
  let whole = 2u * p.length;
  let high = t >> 10u;
  let low = t & 1023u;
  let first = (((((high * high) % whole) << 10u) % whole) << 10u) % whole;
  let middle = (((2u * high * low) % whole) << 10u) % whole;
  return rootOf((first + middle + low * low) % whole, whole);
}`;

const sizes = ["length:u32", "channels:u32", "count:u32"] as const;

/** The conjugate of the chirp, before and after 0. */
const kernelProgram: Program = {
  name: "fourier chirp",
  bindings: [{ name: "target_", type: "vec2<f32>", write: true }],
  params: sizes,
  workgroup: WORKGROUP,
  declarations: chirpCode,
  body: `
  if (index >= p.count) { return; }
  let t = min(index, p.count - index);
  target_[index] = select(vec2<f32>(0.0), conj(chirpOf(t)), t < p.length);`,
};

/** Rows of x, or the conjugates of rows of a spectrum, as sequences. */
function placeProgram(isSpectrum: boolean, isChirped: boolean): Program {
  return programNamed(`fourier place${isSpectrum ? " spectrum" : ""}${isChirped ? " chirp" : ""}`, () => ({
    bindings: [
      { name: "x", type: "f32" },
      { name: "target_", type: "vec2<f32>", write: true },
    ],
    params: [...sizes, "xOffset:u32", "xRow:u32", "xColumn:u32", "shares:u32"],
    workgroup: WORKGROUP,
    declarations: chirpCode,
    body: `
  if (index >= p.count * p.channels) { return; }
  let c = index % p.channels;
  let t = index / p.channels;
  var value = vec2<f32>(0.0);
  if (t < ${isSpectrum ? "p.length / 2u + 1u" : "p.length"}) {
    let at = p.xOffset + t * p.xRow + c * p.xColumn;
    value = ${isSpectrum ? "vec2<f32>(x[at], -x[at + 1u]) * shareOf(t)" : "vec2<f32>(x[at], 0.0)"};
    ${isChirped ? "value = times(value, chirpOf(t));" : ""}
  }
  target_[index] = value;`.replace(
      "shareOf(t)",
      `select(1.0, select(2.0, 1.0, t == 0u || 2u * t == p.length) / f32(p.length), p.shares == 1u)`,
    ),
  }));
}

/** Sequences times one sequence. */
const multiplyProgram: Program = {
  name: "fourier multiply",
  bindings: [
    { name: "source", type: "vec2<f32>" },
    { name: "factor", type: "vec2<f32>" },
    { name: "target_", type: "vec2<f32>", write: true },
  ],
  params: sizes,
  workgroup: WORKGROUP,
  declarations: complexCode,
  body: `
  if (index >= p.count * p.channels) { return; }
  target_[index] = times(source[index], factor[index / p.channels]) / f32(p.count);`,
};

/** What a transform leaves, as rows of a spectrum or as real rows. */
function finishProgram(isSpectrum: boolean, isChirped: boolean): Program {
  return programNamed(`fourier finish${isSpectrum ? " spectrum" : ""}${isChirped ? " chirp" : ""}`, () => ({
    bindings: [
      { name: "source", type: "vec2<f32>" },
      { name: "out", type: "f32", write: true },
    ],
    params: [...sizes, "outOffset:u32", "shares:u32"],
    workgroup: WORKGROUP,
    declarations: chirpCode,
    body: `
  if (index >= ${isSpectrum ? "(p.length / 2u + 1u)" : "p.length"} * p.channels) { return; }
  var value = source[index];
  let t = index / p.channels;
  ${isChirped ? "value = times(value, chirpOf(t));" : ""}
  ${
    isSpectrum
      ? `let share = select(1.0, select(2.0, 1.0, t == 0u || 2u * t == p.length) / f32(p.length), p.shares == 1u);
  out[p.outOffset + 2u * index] = share * value.x;
  out[p.outOffset + 2u * index + 1u] = share * value.y;`
      : "out[p.outOffset + index] = value.x;"
  }`,
  }));
}

/** Transforms what has been placed, through a convolution with the chirp where the length is no power of two. */
function encodeAnyLength(context: WebgpuKernelContext, sequences: Sequences, length: number, isChirped: boolean): void {
  encodeTransform(context, sequences, false);
  if (!isChirped) return;
  const { count, columns: channels } = sequences;
  const values = { length, channels, count };
  const chirp = makeSequences(context, count, 1);
  context.dispatch(kernelProgram, [chirp.data], values, Math.ceil(count / WORKGROUP));
  encodeTransform(context, chirp, false);
  const groups = Math.ceil((count * channels) / WORKGROUP);
  context.dispatch(multiplyProgram, [sequences.data, chirp.data, sequences.spare], values, groups);
  exchange(sequences);
  encodeTransform(context, sequences, true);
}

function encode(context: WebgpuKernelContext, { inputs, outputs, axes, params }: KernelCall, isInverse: boolean): void {
  const [x, out] = isInverse ? [inputs["spectrum"]!, outputs["x"]!] : [inputs["x"]!, outputs["spectrum"]!];
  if (out.size === 0) return;
  const { length, channels } = axes as { length: number; channels: number };
  const isChirped = powerOfTwo(length) !== length;
  const count = isChirped ? powerOfTwo(2 * length - 1) : length;
  const sequences = makeSequences(context, count, channels);
  const own = { length, channels, count, shares: Boolean(params["adjoint"]) !== isInverse ? 1 : 0 };
  const place = { xOffset: x.offset, xRow: x.strides[0]!, xColumn: x.strides[1]! };
  const groups = Math.ceil((count * channels) / WORKGROUP);
  const dispatch = (program: Program, bound: readonly Bound[], values: Record<string, number>): void =>
    context.dispatch(program, bound, { ...own, ...values }, groups);
  dispatch(placeProgram(isInverse, isChirped), [x, sequences.data], place);
  encodeAnyLength(context, sequences, length, isChirped);
  dispatch(finishProgram(!isInverse, isChirped), [sequences.data, out], { outOffset: out.offset });
}

const realFourier: WebgpuKernel = (context, call) => encode(context, call, false);
const inverseRealFourier: WebgpuKernel = (context, call) => encode(context, call, true);

/** WebGPU kernels of this folder. */
export const fourierWebgpu = { realFourier, inverseRealFourier } as const satisfies Record<string, WebgpuKernel>;
