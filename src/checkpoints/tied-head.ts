import type { TypedArray } from "../tensor/dtype.ts";
import type { TensorEntry } from "./tensor-entry.ts";

/** Elements compared at a time. */
const run = 2 ** 20;

/**
 * Whether a checkpoint stores its head, `lm_head.weight`, as a second copy of the embedding, bit for bit.
 *
 * @returns undefined unless both are there
 */
export async function headRepeatsEmbedding(entries: ReadonlyMap<string, TensorEntry>): Promise<boolean | undefined> {
  const head = entries.get("lm_head.weight");
  const embedding = entries.get("backbone.embeddings.weight") ?? entries.get("backbone.embedding.weight");
  return head && embedding && haveSameValues(head, embedding);
}

/** Compares run by run, so that two large tensors need no memory and different ones are soon told apart. */
async function haveSameValues(a: TensorEntry, b: TensorEntry): Promise<boolean> {
  if (a.storedType !== b.storedType || a.shape.join() !== b.shape.join()) return false;
  const count = a.shape.reduce((product, size) => product * size, 1);
  for (let start = 0; start < count; start += run) {
    const end = Math.min(start + run, count);
    if (!sameBits(await a.read(start, end), await b.read(start, end))) return false;
  }
  return true;
}

function sameBits(a: TypedArray, b: TypedArray): boolean {
  const left = new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
  const right = new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) if (left[i] !== right[i]) return false;
  return true;
}
