import { packWeight } from "../ops/linear/index.ts";
import { flattenParameters, nestParameters } from "../tensor/parameters.ts";
import type { Tensor } from "../tensor/tensor.ts";
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
