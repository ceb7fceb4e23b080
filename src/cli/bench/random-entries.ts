import { mambaParameterShapes, type TensorEntry } from "../../checkpoints/index.ts";
import type { MambaConfig } from "../../models/index.ts";
import { sizeOf } from "../../tensor/shape.ts";

/** A number from 0 up to 1 that depends on an index and a seed alone, so that any part of a tensor can be made at any time. */
function uniform(index: number, seed: number): number {
  let x = Math.imul(index + seed, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
}

/** Inverse of softplus at a step that is log-uniform from 0.001 to 0.1. */
function stepBias(draw: number): number {
  const step = Math.exp(Math.log(0.001) + draw * Math.log(100));
  return step + Math.log(-Math.expm1(-step));
}

type Fill = (index: number) => number;

/** How a parameter is drawn: of the size that it has at the beginning of training. */
function fillOf(name: string, shape: readonly number[], { dState }: MambaConfig, seed: number): Fill {
  if (name.endsWith("A_log")) return (index) => Math.log((index % dState) + 1);
  if (name.endsWith("dtProj.bias")) return (index) => stepBias(uniform(index, seed));
  if (name.endsWith(".D") || /norm\w*\.weight$/.test(name)) return () => 1;
  if (name.endsWith("bias") && !name.endsWith("conv.bias")) return () => 0;
  const bound = name.includes("embedding") ? 0.03 : 1 / Math.sqrt(shape.at(-1)!);
  return (index) => (2 * uniform(index, seed) - 1) * bound;
}

/**
 * Parameters of a model that nobody trained, made when they are read, for measuring speed: however large the model, one tensor is at
 * hand at a time.
 */
export function randomEntries(config: MambaConfig): Map<string, TensorEntry> {
  const entries = new Map<string, TensorEntry>();
  for (const [name, shape] of mambaParameterShapes(config)) {
    const size = sizeOf(shape);
    const fill = fillOf(name, shape, config, entries.size * 0x1000193);
    const read = async (start = 0, end = size): Promise<Float32Array> => {
      const values = new Float32Array(end - start);
      for (let i = 0; i < values.length; i++) values[i] = fill(start + i);
      return values;
    };
    const bytes = 4 * size;
    entries.set(name, {
      ...{ name, shape, dtype: "float32", storedType: "F32", byteLength: bytes, storedByteLength: bytes, read },
    });
  }
  return entries;
}
