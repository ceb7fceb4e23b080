import type { Bound, GpuMemory, Program, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { denseStrides } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { denseIds } from "../embedding/webgpu.ts";
import { copyInto } from "../movement/webgpu.ts";

/** Tensors one after another in one buffer: a device may bind no more than eight. */
export interface Packed {
  readonly bound: GpuMemory;
  /** Where each tensor begins, as `NAMEOffset`; 0 for those that are not there. */
  readonly offsets: Readonly<Record<string, number>>;
}

/** Packs those of some inputs that are there, each dense. */
export function pack(
  context: WebgpuKernelContext,
  names: readonly string[],
  inputs: Readonly<Record<string, Tensor | undefined>>,
): Packed {
  const offsets: Record<string, number> = {};
  let size = 0;
  for (const name of names) {
    offsets[`${name}Offset`] = inputs[name] ? size : 0;
    size += inputs[name]?.size ?? 0;
  }
  const bound = context.scratch(4 * Math.max(1, size));
  for (const name of names) {
    const tensor = inputs[name];
    if (!tensor) continue;
    copyInto(context, tensor, bound, { strides: denseStrides(tensor.shape), offset: offsets[`${name}Offset`]! });
  }
  return { bound, offsets };
}

/** What programs of the scan are made for. */
export interface ScanVariant {
  readonly states: number;
  readonly softplus: boolean;
  readonly reverse: boolean;
  readonly has: ReadonlySet<string>;
}

/** Names of the vectors and matrices that do not depend on time. */
export const constants = ["A", "D", "deltaBias", "constantB", "constantC", "initialState"] as const;
/** Names of the rows [batch length channels] that a step reads. */
export const rows = ["u", "delta", "z", "dy"] as const;

/** Everything a scan reads, packed. */
export interface ScanOperands {
  readonly variant: ScanVariant;
  readonly small: Packed;
  readonly rows: Packed;
  readonly selection: Packed;
  readonly ids: { readonly bound: Bound; readonly offset: number } | undefined;
  readonly sizes: Readonly<Record<"batch" | "length" | "channels" | "groups" | "segments" | "chunks", number>>;
}

/** @param more - further inputs that are packed with the constants */
export function scanOperands(
  context: WebgpuKernelContext,
  { inputs, axes, params }: KernelCall,
  more: readonly string[] = [],
): ScanOperands {
  const has = new Set(Object.keys(inputs).filter((name) => inputs[name] !== undefined));
  const sizes = { batch: axes["batch"]!, length: axes["length"]!, channels: axes["channels"]! };
  const others = { groups: axes["groups"] ?? 1, segments: axes["segments"] ?? 0, chunks: axes["chunks"]! };
  return {
    variant: {
      states: axes["state"]!,
      softplus: Boolean(params["deltaSoftplus"]),
      reverse: Boolean(params["reverse"]),
      has,
    },
    small: pack(context, [...constants, ...more], inputs),
    rows: pack(context, rows, inputs),
    selection: pack(context, ["B", "C"], inputs),
    ids: inputs["segmentIds"] && denseIds(context, inputs["segmentIds"]),
    sizes: { ...sizes, ...others },
  };
}

/** A key that tells variants apart. */
export function variantName({ states, softplus, reverse, has }: ScanVariant): string {
  return `${states}${softplus ? " softplus" : ""}${reverse ? " reverse" : ""} ${[...has].sort().join(" ")}`;
}

/** Parameters that the programs share. */
export const scanParams: Program["params"] = [
  ...([
    "batch:u32",
    "length:u32",
    "channels:u32",
    "groups:u32",
    "segments:u32",
    "chunks:u32",
    "idsOffset:u32",
  ] as const),
  ...[...constants, ...rows, "B", "C"].map((name) => `${name}Offset:u32` as const),
];

/** Values of {@link scanParams}. */
export function scanValues({ small, rows: own, selection, ids, sizes }: ScanOperands): Record<string, number> {
  return { ...sizes, ...small.offsets, ...own.offsets, ...selection.offsets, idsOffset: ids?.offset ?? 0 };
}

/** WGSL: coefficients of a step by batch, time, channel and state, from the packed buffers. */
export function scanCode({ states, softplus, reverse, has }: ScanVariant): string {
  const coefficient = (name: "B" | "C"): string =>
    has.has(`constant${name}`)
      ? `small[p.constant${name}Offset + c * ${states}u + n]`
      : `selection[p.${name}Offset + ((b * p.length + t) * p.groups + c * p.groups / p.channels) * ${states}u + n]`;
  return `
fn timeOf(i: u32) -> u32 { return ${reverse ? "p.length - 1u - i" : "i"}; }
fn segmentOf(b: u32, i: u32) -> i32 { return ${has.has("segmentIds") ? "ids[p.idsOffset + b * p.length + timeOf(i)]" : "0"}; }
fn rowAt(b: u32, t: u32, c: u32) -> u32 { return (b * p.length + t) * p.channels + c; }
fn coefficientB(b: u32, t: u32, c: u32, n: u32) -> f32 { return ${coefficient("B")}; }
fn coefficientC(b: u32, t: u32, c: u32, n: u32) -> f32 { return ${coefficient("C")}; }
fn coefficientA(c: u32, n: u32) -> f32 { return small[p.AOffset + c * ${states}u + n]; }
fn stepSize(b: u32, t: u32, c: u32) -> f32 {
  let raw = rows[p.deltaOffset + rowAt(b, t, c)]${has.has("deltaBias") ? " + small[p.deltaBiasOffset + c]" : ""};
  return ${softplus ? "select(softplusOf(raw), raw, raw > 20.0)" : "raw"};
}
// exp(x) h: near 0 by what it changes, which rounds less often
fn decayed(x: f32, h: f32) -> f32 {
  if (x > -0.0625) { return fma(expm1Of(x), h, h); }
  return expOf(x) * h;
}`;
}
