import type { GpuBinding } from "../../backends/webgpu/index.ts";
import { bytesPerElement, type DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isQuantized } from "../../tensor/weight-formats.ts";

/** Types of weights that shaders read as they lie. */
export type GpuFormat = "float32" | "float16" | "int8" | "int4";

/** The type of a weight that lies row by row, or in blocks; else nothing. */
export function formatOf({ dtype, layout }: Tensor): GpuFormat | undefined {
  if (layout === "blocks") return dtype as GpuFormat;
  return layout === "strided" && (dtype === "float32" || dtype === "float16") ? dtype : undefined;
}

/** Whether a weight's elements lie in order, in whatever type. */
export function isWhole(w: Tensor): boolean {
  return w.dense || w.layout === "blocks";
}

/** Where the scales of a weight in blocks begin, in words. */
export function scalesAt(dtype: DType, elements: number): number {
  return isQuantized(dtype) ? (elements * bytesPerElement(dtype)) / 4 : 0;
}

const quads: Readonly<Record<GpuFormat, (name: string, scales: string) => string>> = {
  float32: (name) => `return ${name}[k];`,
  float16: (name) => `let w = ${name}[k]; return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));`,
  int8: (name, scales) => `
  let word = bitcast<i32>(${name}[k]);
  let values = vec4<i32>(extractBits(word, 0u, 8u), extractBits(word, 8u, 8u), extractBits(word, 16u, 8u), extractBits(word, 24u, 8u));
  return vec4<f32>(values) * unpack2x16float(${name}[${scales} + k / 16u])[k / 8u % 2u];`,
  // halves of a byte are 16 elements apart
  int4: (name, scales) => `
  let word = ${name}[k / 8u * 4u + k % 4u] >> (k & 4u);
  let values = vec4<u32>(word & 15u, (word >> 8u) & 15u, (word >> 16u) & 15u, (word >> 24u) & 15u);
  return (vec4<f32>(values) - 8.0) * unpack2x16float(${name}[${scales} + k / 16u])[k / 8u % 2u];`,
};

const quadTypes = { float32: "vec4<f32>", float16: "vec2<u32>", int8: "u32", int4: "u32" } as const;

/**
 * A weight that is read four elements at a time, and WGSL of `load_NAME(k)`, its k-th four.
 *
 * @param scales - WGSL of {@link scalesAt}
 */
export function quadWeight(name: string, format: GpuFormat, scales: string): { binding: GpuBinding; load: string } {
  return {
    binding: { name, type: quadTypes[format] },
    load: `fn load_${name}(k: u32) -> vec4<f32> { ${quads[format](name, scales)} }`,
  };
}

/** A weight that is read eight elements at a time as float16, and WGSL of `halves_NAME(k)`, its k-th eight as a vec4<u32>. */
export function halfWeight(name: string, format: GpuFormat, scales: string): { binding: GpuBinding; load: string } {
  if (format === "float16") {
    const load = `fn halves_${name}(k: u32) -> vec4<u32> { return ${name}[k]; }`;
    return { binding: { name, type: "vec4<u32>" }, load };
  }
  const { binding, load } = quadWeight(name, format, scales);
  return {
    binding,
    load: `${load}
fn halves_${name}(k: u32) -> vec4<u32> {
  let low = load_${name}(2u * k);
  let high = load_${name}(2u * k + 1u);
  return vec4<u32>(pack2x16float(low.xy), pack2x16float(low.zw), pack2x16float(high.xy), pack2x16float(high.zw));
}`,
  };
}
