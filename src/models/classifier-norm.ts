import { BatchNorm, type BatchNormOptions, type BatchNormParameters } from "../layers/batch-norm.ts";
import type { InitialiseOptions } from "../layers/initialisers.ts";
import { Norm, type NormKind, type NormParameters } from "../layers/norm.ts";
import { add } from "../ops/elementwise/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Over the features of a sample, or over a batch. */
export type ClassifierNormKind = NormKind | "batch";

export type ClassifierNormParameters = NormParameters | BatchNormParameters;

/** The norm of x + residual, and that sum; x itself without a residual. */
export type ClassifierNorm = (
  x: Tensor,
  residual: Tensor | undefined,
  options: BatchNormOptions,
) => { y: Tensor; sum: Tensor };

const EPSILON = 1e-5;

/** A norm of given parameters. */
export function classifierNorm(kind: ClassifierNormKind, parameters: ClassifierNormParameters): ClassifierNorm {
  if (kind !== "batch") {
    const norm = new Norm(kind, EPSILON, parameters);
    return (x, residual) => norm.forward(x, residual);
  }
  const norm = new BatchNorm(EPSILON, parameters as BatchNormParameters);
  return (x, residual, options) => {
    const sum = residual ? add(x, residual) : x;
    return { y: norm.forward(sum, options), sum };
  };
}

/** New parameters of a norm. */
export function initialiseNorm(
  kind: ClassifierNormKind,
  channels: number,
  options: InitialiseOptions,
): ClassifierNormParameters {
  if (kind === "batch") return BatchNorm.create(channels, EPSILON, options).parameters;
  return Norm.create(kind, channels, EPSILON, options).parameters;
}
