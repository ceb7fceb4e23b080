import type { MambaConfig } from "../models/config.ts";
import { convertArray, type TypedArray } from "../tensor/dtype.ts";
import { type GgufPrecision, ggufTypeFor } from "./gguf-mamba.ts";
import { toGgufName } from "./gguf-names.ts";
import { ggufTypes } from "./gguf-types.ts";
import type { GgufTensorToWrite, WritableGgufType } from "./gguf-write.ts";
import { mambaParameterShapes } from "./name-map.ts";
import { encodeBlocks } from "./quantize.ts";
import type { TensorEntry } from "./tensor-entry.ts";

/**
 * The tensors of a Mamba-1 model as llama.cpp stores them: A in place of A_log, no axis of one channel in the convolution,
 * no head where it is the embedding, zeros where the convolution has no bias.
 *
 * @param entries - by parameter name, as `matchMamba` gives them
 * @throws CheckpointError if llama.cpp's Mamba-1 has no such parameter
 */
export function mambaGgufTensors(
  config: MambaConfig,
  entries: ReadonlyMap<string, TensorEntry>,
  precision: GgufPrecision,
): GgufTensorToWrite[] {
  // a model without biases in its convolution has them here
  const shapes = mambaParameterShapes({ ...config, convBias: true });
  return [...shapes].map(([own, shape]) => {
    const name = toGgufName(own);
    const entry = entries.get(own);
    const type = ggufTypeFor(own, shape.at(-1)!, precision);
    if (!entry)
      return { name, type, shape, dtype: "float32", read: async (start, end) => new Float32Array(end - start) };
    return { name, shape, ...source(own, entry, type) };
  });
}

function source(own: string, entry: TensorEntry, type: WritableGgufType): Omit<GgufTensorToWrite, "name" | "shape"> {
  if (own.endsWith(".A_log")) return { type, dtype: "float32", read: (start, end) => readA(entry, start, end) };
  const { dtype, readQuantized } = entry;
  const read = (start: number, end: number): Promise<TypedArray> => entry.read(start, end);
  // blocks of the same kind are copied, not rounded again
  if (!readQuantized || entry.storedType !== type) return { type, dtype, read };
  return { type, dtype, read, readBlocks: async () => encodeBlocks(await readQuantized()) };
}

async function readA(entry: TensorEntry, start: number, end: number): Promise<TypedArray> {
  const values = convertArray(await entry.read(start, end), entry.dtype, "float32");
  for (let i = 0; i < values.length; i++) values[i] = -Math.exp(values[i]!);
  return values;
}

/** Bytes that the tensors take in a file. */
export function ggufDataBytes(tensors: readonly GgufTensorToWrite[]): number {
  return tensors.reduce((sum, { shape, type }) => {
    const { block, bytes } = ggufTypes[type];
    return sum + (shape.reduce((product, size) => product * size, 1) / block) * bytes;
  }, 0);
}
