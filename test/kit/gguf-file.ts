import type { GgufField } from "../../src/checkpoints/gguf-fields.ts";
import { type GgufTensorToWrite, writeGguf } from "../../src/checkpoints/gguf-write.ts";
import { Random } from "../../src/tensor/random.ts";

/** A tensor of float32 numbers at hand. */
export const floats = (
  name: string,
  type: GgufTensorToWrite["type"],
  shape: number[],
  data: Float32Array,
): GgufTensorToWrite => ({ name, type, shape, dtype: "float32", read: async (from, to) => data.slice(from, to) });

/** The bytes of a GGUF file. */
export async function encodeGguf(
  tensors: GgufTensorToWrite[],
  fields: [string, GgufField][] = [],
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  await writeGguf(async (bytes) => void parts.push(bytes.slice()), tensors, new Map(fields));
  return new Uint8Array(Buffer.concat(parts));
}

/** So many normal numbers, always the same. */
export const normal = (count: number): Float32Array => {
  const random = new Random(5);
  return Float32Array.from({ length: count }, () => random.normal());
};
