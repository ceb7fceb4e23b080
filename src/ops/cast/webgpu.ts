import {
  type Bound,
  mergeAxes,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
  walkCode,
  walkParams,
  walkValues,
} from "../../backends/webgpu/index.ts";
import { bytesPerElement, type DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const WORKGROUP = 64;

/** WGSL: the bits of an element at a place, whatever its width. */
function loadCode(width: number): string {
  const perWord = 4 / width;
  if (perWord === 1) return "fn bitsAt(place: u32) -> u32 { return x[place]; }";
  const mask = 2 ** (8 * width) - 1;
  return `fn bitsAt(place: u32) -> u32 { return (x[place / ${perWord}u] >> (${8 * width}u * (place % ${perWord}u))) & ${mask}u; }`;
}

/** WGSL: an element's bits as those of a float32, or as an integer. Bits alone, so that NaN and infinities stay what they are. */
const floatBits: Partial<Record<DType, string>> = {
  float32: "fn floatOf(bits: u32) -> u32 { return bits; }",
  bfloat16: "fn floatOf(bits: u32) -> u32 { return bits << 16u; }",
  float16: `
fn floatOf(bits: u32) -> u32 {
  let sign = (bits & 0x8000u) << 16u;
  let exponent = (bits >> 10u) & 31u;
  let fraction = bits & 1023u;
  if (exponent == 31u) { return sign | 0x7f800000u | (fraction << 13u); }
  if (exponent > 0u) { return sign | ((exponent + 112u) << 23u) | (fraction << 13u); }
  return sign | bitcast<u32>(f32(fraction) * 5.9604645e-8);
}`,
  int32: "fn floatOf(bits: u32) -> u32 { return bitcast<u32>(f32(bitcast<i32>(bits))); }",
  uint32: "fn floatOf(bits: u32) -> u32 { return bitcast<u32>(f32(bits)); }",
  uint8: "fn floatOf(bits: u32) -> u32 { return bitcast<u32>(f32(bits)); }",
};

/** WGSL: bits of a float32 as those of another type. */
const storedBits: Partial<Record<DType, string>> = {
  float32: "fn storedOf(bits: u32) -> u32 { return bits; }",
  bfloat16: `
fn storedOf(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}`,
  float16: `
fn storedOf(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    let shifted = magnitude - 0x38000000u;
    return sign | ((shifted + 0xfffu + ((shifted >> 13u) & 1u)) >> 13u);
  }
  // smaller than a normal number: the fraction with its leading 1, shifted to units of 2^-24, ties to even
  let shift = 126u - (magnitude >> 23u);
  if (shift > 24u) { return sign; }
  let full = (magnitude & 0x7fffffu) | 0x800000u;
  let kept = full >> shift;
  let rest = full & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  let up = rest > half || (rest == half && (kept & 1u) == 1u);
  return sign | (kept + select(0u, 1u, up));
}`,
  int32: integerCode("-2147483648.0", "2147483520.0", "bitcast<u32>(i32(value))", "0x80000000u", "0x7fffffffu"),
  uint32: integerCode("0.0", "4294967040.0", "u32(value)", "0u", "0xffffffffu"),
  uint8: integerCode("0.0", "255.0", "u32(value)", "0u", "255u"),
};

/** Cut towards zero and held to a range; NaN is 0. `most` is the largest float32 in the range. */
function integerCode(least: string, most: string, convert: string, low: string, high: string): string {
  return `
fn storedOf(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0u; }
  let value = bitcast<f32>(bits);
  if (value < ${least}) { return ${low}; }
  if (value > ${most}) { return ${high}; }
  return ${convert};
}`;
}

/** From integers to integers no float comes between. */
const integerToInteger: Partial<Record<DType, Partial<Record<DType, string>>>> = {
  int32: { uint32: "select(bits, 0u, bitcast<i32>(bits) < 0)", uint8: "u32(clamp(bitcast<i32>(bits), 0, 255))" },
  uint32: { int32: "min(bits, 0x7fffffffu)", uint8: "min(bits, 255u)" },
  uint8: { int32: "bits", uint32: "bits" },
};

/** A thread makes the elements of one word of y. */
function castProgram(from: DType, to: DType, rank: number): Program {
  return programNamed(`cast ${from} to ${to} rank ${rank}`, () => {
    const width = bytesPerElement(to);
    const perWord = 4 / width;
    const direct = integerToInteger[from]?.[to];
    return {
      bindings: [
        { name: "x", type: "u32" },
        { name: "out", type: "u32", write: true },
      ],
      params: [...walkParams(["x"], rank), "outOffset:u32"],
      workgroup: WORKGROUP,
      declarations: `
${loadCode(bytesPerElement(from))}
${direct ? "" : `${floatBits[from]}\n${storedBits[to]}`}
fn element(index: u32) -> u32 {
  ${walkCode(["x"], rank)}
  let bits = bitsAt(xAt);
  return ${direct ?? "storedOf(floatOf(bits))"};
}`,
      body: `
  let first = index * ${perWord}u;
  if (first >= p.count) { return; }
  var word = element(first);
  for (var k = 1u; k < ${perWord}u && first + k < p.count; k++) { word |= element(first + k) << (${8 * width}u * k); }
  out[p.outOffset + index] = word;`,
    };
  });
}

const exponentBits: Partial<Record<DType, string>> = {
  float32: "0x7f800000u",
  float16: "0x7c00u",
  bfloat16: "0x7f80u",
};

function markProgram(type: DType, rank: number): Program {
  return programNamed(`markNonFinite ${type} rank ${rank}`, () => ({
    bindings: [
      { name: "x", type: "u32" },
      { name: "found", type: "i32", write: true },
    ],
    params: [...walkParams(["x"], rank), "foundOffset:u32"],
    workgroup: WORKGROUP,
    declarations: loadCode(bytesPerElement(type)),
    body: `
  if (index >= p.count) { return; }
  ${walkCode(["x"], rank)}
  if ((bitsAt(xAt) & ${exponentBits[type]}) == ${exponentBits[type]}) { found[p.foundOffset] = 1; }`,
  }));
}

/** How numbers lie in a buffer. */
type Layout = Pick<Tensor, "dtype" | "shape" | "strides" | "offset">;

function walkOf(x: Layout): { rank: number; values: Record<string, number> } {
  const merged = mergeAxes(x.shape, [x.strides]);
  return { rank: merged.sizes.length, values: walkValues(["x"], [x.offset], merged) };
}

/**
 * Enqueues the numbers of `x` in another type, dense in `out`.
 *
 * @param outOffset - in words of four bytes; default 0
 */
export function encodeCast(
  context: WebgpuKernelContext,
  x: Bound,
  layout: Layout,
  out: Bound,
  dtype: DType,
  outOffset = 0,
): void {
  const { rank, values } = walkOf(layout);
  const count = values["count"]!;
  if (count === 0) return;
  const words = Math.ceil((count * bytesPerElement(dtype)) / 4);
  const params = { ...values, outOffset };
  context.dispatch(castProgram(layout.dtype, dtype, rank), [x, out], params, Math.ceil(words / WORKGROUP));
}

const cast: WebgpuKernel = (context, { inputs, outputs }) => {
  const [x, y] = [inputs["x"]!, outputs["y"]!];
  encodeCast(context, x, x, y, y.dtype, (y.offset * bytesPerElement(y.dtype)) / 4);
};

const markNonFinite: WebgpuKernel = (context, { inputs }) => {
  const [x, found] = [inputs["x"]!, inputs["found"]!];
  if (x.size === 0) return;
  const { rank, values } = walkOf(x);
  const params = { ...values, foundOffset: found.offset };
  context.dispatch(markProgram(x.dtype, rank), [x, found], params, Math.ceil(x.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const castWebgpu = { cast, markNonFinite } as const satisfies Record<string, WebgpuKernel>;
