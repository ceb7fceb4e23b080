import type { Bound, GpuBinding, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { denseStrides } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { encodeCast } from "../cast/webgpu.ts";
import { rowsOf } from "../linear/webgpu.ts";
import type { GpuMatrix } from "../matmul/product.webgpu.ts";
import { copyInto } from "../movement/webgpu.ts";

/** Which buffer an operand shares with others where a device cannot bind one for each. */
const buffers: Readonly<Record<string, string>> = {
  ...{ u: "rows", delta: "rows", z: "rows", dy: "rows", B: "selection", C: "selection" },
  ...{ A: "constants", D: "constants", deltaBias: "constants", constantB: "constants", constantC: "constants" },
  ...{ initialState: "constants", chunkStates: "constants", dFinalState: "constants", dSegmentStates: "constants" },
};

/** What a program reads of the op's inputs, and where it lies. */
export interface Operands {
  /** In the order of `bound`. */
  readonly bindings: readonly GpuBinding[];
  readonly bound: readonly Bound[];
  /** Offset and stride of rows of each operand, in elements, as `NAMEOffset` and `NAMERow`. */
  readonly values: Readonly<Record<string, number>>;
  readonly params: readonly `${string}:u32`[];
  /** WGSL of the buffer that holds an operand. */
  readonly bufferOf: Readonly<Record<string, string>>;
  /** Operands that lie in float16. */
  readonly halves: ReadonlySet<string>;
  /** Operands that are bound by fours: their offset and stride of rows count fours too. */
  readonly vectors: ReadonlySet<string>;
  /** Tells apart what makes other code. */
  readonly key: string;
}

/**
 * Binds those of some inputs that are there as rows of their last axis: each in its own buffer where the device can bind so many,
 * together with `others` of the program; packed by kind, in float32, otherwise.
 *
 * @param byFours - operands to bind by fours where their rows allow it
 */
export function placeOperands(
  context: WebgpuKernelContext,
  inputs: KernelCall["inputs"],
  names: readonly string[],
  others: number,
  byFours: readonly string[] = [],
): Operands {
  const present = names.filter((name) => inputs[name] !== undefined);
  const halves = new Set<string>();
  const vectors = new Set<string>();
  const isPacked = present.length + others > context.limits.maxStorageBuffersPerShaderStage;
  const values: Record<string, number> = {};
  const bound = new Map<string, Bound>();
  const bufferOf: Record<string, string> = {};
  const place = (name: string, { offset, rowStride }: GpuMatrix): void => {
    values[`${name}Offset`] = offset;
    values[`${name}Row`] = rowStride;
  };
  for (const name of present) {
    bufferOf[name] = isPacked ? (buffers[name] as string) : `${name}In`;
    if (isPacked) continue;
    const rows = rowsOf(context, inputs[name]!);
    const isVector =
      byFours.includes(name) && [rows.offset, rows.rowStride, inputs[name]!.shape.at(-1)!].every(isFours);
    if (isVector) vectors.add(name);
    if (inputs[name]!.dtype === "float16") halves.add(name);
    bound.set(bufferOf[name]!, rows.bound);
    place(name, isVector ? { ...rows, offset: rows.offset / 4, rowStride: rows.rowStride / 4 } : rows);
  }
  if (isPacked) {
    for (const buffer of new Set(Object.values(bufferOf))) {
      const own = present.filter((name) => bufferOf[name] === buffer);
      bound.set(buffer, pack(context, own, inputs as Record<string, Tensor>, place));
    }
  }
  return {
    bindings: isPacked
      ? [...bound.keys()].map((name) => ({ name, type: "f32" }))
      : present.map((name) => {
          const type = halves.has(name) ? "f16" : "f32";
          return { name: bufferOf[name]!, type: vectors.has(name) ? (`vec4<${type}>` as const) : type };
        }),
    bound: [...bound.values()],
    values,
    params: present.flatMap((name) => [`${name}Offset:u32`, `${name}Row:u32`] as const),
    bufferOf,
    halves,
    vectors,
    key: `${present.map((name) => `${name}${vectors.has(name) ? "4" : ""}`).join(" ")}${halves.size > 0 ? " half" : ""}${isPacked ? " packed" : ""}`,
  };
}

const isFours = (value: number): boolean => value % 4 === 0;

/** Tensors one after another in one buffer, each dense. */
function pack(
  context: WebgpuKernelContext,
  names: readonly string[],
  inputs: Readonly<Record<string, Tensor>>,
  place: (name: string, matrix: GpuMatrix) => void,
): Bound {
  const size = names.reduce((sum, name) => sum + inputs[name]!.size, 0);
  const bound = context.scratch(4 * Math.max(1, size));
  let offset = 0;
  for (const name of names) {
    const tensor = inputs[name]!;
    if (tensor.dtype === "float16") {
      const wide = context.scratch(4 * tensor.size);
      encodeCast(context, tensor, tensor, wide, "float32");
      context.copy(wide, 0, bound, offset, tensor.size);
    } else copyInto(context, tensor, bound, { strides: denseStrides(tensor.shape), offset });
    place(name, { bound, offset, rowStride: tensor.shape.at(-1)!, columnStride: 1, batchStride: 0 });
    offset += tensor.size;
  }
  return bound;
}
