import type { Bound, Program, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { denseIds } from "../embedding/webgpu.ts";
import { denseCopy } from "../movement/webgpu.ts";

export const WORKGROUP = 64;
/** Steps whose weight gradients one thread adds up where there are segments. */
export const CHUNK = 64;

/** What a program of this folder is made for. */
export interface Variant {
  readonly window: number;
  readonly silu: boolean;
  readonly reverse: boolean;
  /** Optional operands that are there. */
  readonly has: ReadonlySet<string>;
}

const sizes = [
  "count:u32",
  "batch:u32",
  "length:u32",
  "channels:u32",
  "xOffset:u32",
  "xBatch:u32",
  "xTime:u32",
] as const;
const weights = ["weightOffset:u32", "weightRow:u32", "biasOffset:u32"] as const;
const places = ["segmentsOffset:u32", "initialOffset:u32", "dyOffset:u32", "dFinalOffset:u32"] as const;
export const params: Program["params"] = [...sizes, ...weights, ...places, "chunks:u32"];

/** Operands of a call with their places. */
export interface Prepared {
  readonly variant: Variant;
  /** By the names that programs bind them under. */
  readonly bound: Readonly<Record<string, Bound>>;
  readonly values: Readonly<Record<string, number>>;
}

/** Operands with their places; integer rows and states are made dense where they are not. */
export function prepare(context: WebgpuKernelContext, { inputs, axes, params: given }: KernelCall): Prepared {
  const { x, weight, bias, initialState, segmentIds, dy, dFinalState } = inputs;
  const has = new Set(Object.keys(inputs).filter((name) => inputs[name] !== undefined));
  const variant = {
    window: axes["window"]!,
    silu: given["activation"] === "silu",
    reverse: Boolean(given["reverse"]),
    has,
  };
  const bound: Record<string, Bound> = { x: x!, weight: weight! };
  const place = (name: string, tensor: Tensor | undefined): number => {
    if (!tensor) return 0;
    bound[name] = tensor.dense ? tensor : denseCopy(context, tensor);
    return tensor.dense ? tensor.offset : 0;
  };
  const ids = segmentIds && denseIds(context, segmentIds);
  if (ids) bound["segmentIds"] = ids.bound;
  const [batch, length, channels] = [axes["batch"]!, axes["length"]!, axes["channels"]!];
  const values = {
    ...{ count: batch * length * channels, batch, length, channels },
    ...{ xOffset: x!.offset, xBatch: x!.strides[0]!, xTime: x!.strides[1]! },
    ...{ weightOffset: weight!.offset, weightRow: weight!.strides[0]!, biasOffset: place("bias", bias) },
    ...{ segmentsOffset: ids?.offset ?? 0, initialOffset: place("initialState", initialState) },
    ...{ dyOffset: place("dy", dy), dFinalOffset: place("dFinalState", dFinalState) },
    chunks: Math.ceil((batch * length) / CHUNK),
  };
  return { variant, bound, values };
}
