import { packWeight } from "../ops/linear/index.ts";
import type { DType } from "../tensor/dtype.ts";
import { flattenParameters, nestParameters } from "../tensor/parameters.ts";
import { BLOCK } from "../tensor/quantize.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { isQuantized } from "../tensor/weight-formats.ts";
import type { MambaConfig } from "./config.ts";
import type { MambaLMParameters } from "./mamba-parameters.ts";

const projections = /(?:inProj|xProj|dtProj|outProj|lmHead)\.weight$/;

/** Whether a parameter of this name is a matrix that products or embeddings read, so that its type may be a smaller one. */
export function isProjection(name: string): boolean {
  return projections.test(name) || name === "backbone.embedding.weight";
}

/** Whether matrix kernels read a parameter of this name, so that it may lie in panels. */
export function isPackable(name: string, config: MambaConfig): boolean {
  return projections.test(name) || (config.tieEmbeddings && name === "backbone.embedding.weight");
}

/**
 * Element type of a parameter in a model whose weights shall be of some type, for inference.
 *
 * Of a type smaller than float32 are the matrices that fill the memory: embedding, head and projections. In a model of int8 or
 * int4 the projection to delta, B and C is int8, that from the rank of delta float16. All else stays in float32. A matrix
 * whose columns are not a multiple of 32 becomes float16 instead of int8 or int4. `docs/quantization.md` has the
 * perplexities that this was decided by.
 */
export function parameterType(name: string, columns: number, config: MambaConfig, dtype: DType): DType {
  if (dtype === "float64" || dtype === "float32") return dtype;
  if (!isPackable(name, config) && name !== "backbone.embedding.weight") return "float32";
  if (!isQuantized(dtype)) return dtype;
  if (columns % BLOCK !== 0 || name.endsWith("dtProj.weight")) return "float16";
  return name.endsWith("xProj.weight") ? "int8" : dtype;
}

/**
 * The same parameters with every projection in the panels that matrix kernels read: faster, for inference only.
 * The plain weights that were packed are disposed.
 */
export function packParameters(parameters: MambaLMParameters, config: MambaConfig): MambaLMParameters {
  const packed = [...flattenParameters(parameters)].map(([name, weight]): [string, Tensor] => {
    if (!isPackable(name, config)) return [name, weight];
    const made = packWeight(weight);
    weight.dispose();
    return [name, made];
  });
  return nestParameters(packed) as unknown as MambaLMParameters;
}
