import type { Params } from "../../tensor/device.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { assertUnpacked } from "../linear/operations.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";

/**
 * Cross-entropy of x weight^T without its logits in memory. Params: `vocabSize`, the rows that are classes;
 * `ignoreIndex`; `tokenChunk` and `rowChunk`, the largest block of logits that may exist at a time.
 */
export const linearCrossEntropyOp: Op = defineOp({
  name: "linearCrossEntropy",
  signature:
    "x[tokens dModel], weight[rows dModel], targets[tokens] -> losses[tokens], valid[tokens], logSumExp[tokens]",
  dtypes: { targets: ["int32"] },
  packed: ["weight"],
  axes: checkSizes,
  saved: ["x", "weight", "targets", "logSumExp"],
  gradient: (call) => linearCrossEntropyGradient(call),
  accumulate: "float32",
});

/**
 * Gradients of x and of the weight; computes the logits again, block by block, as exp(logit - logSumExp).
 * Params as in the forward op, and `wantsX` and `wantsWeight`.
 */
export const linearCrossEntropyBackwardOp: Op = defineOp({
  name: "linearCrossEntropyBackward",
  signature:
    "x[tokens dModel], weight[rows dModel], targets[tokens], logSumExp[tokens], dlosses?[tokens], dlogSumExp?[tokens] -> dx?[tokens dModel], dweight?[rows dModel]",
  dtypes: { targets: ["int32"] },
  packed: ["weight"],
  produces: (output, _, { wantsX, wantsWeight }) => (output === "dx" ? wantsX : wantsWeight) === true,
  axes: checkSizes,
  accumulate: "float32",
});

function checkSizes({ vocabSize, tokenChunk, rowChunk }: Params, { rows }: Readonly<Record<string, number>>) {
  if (!between(vocabSize, 1, rows!)) {
    throw new ConfigError(
      `linearCrossEntropy: vocabSize must be in 1 to the ${rows} rows of weight; got ${vocabSize}; pass the number of rows that are classes`,
      { key: "vocabSize", expected: rows, actual: vocabSize },
    );
  }
  for (const [key, size] of Object.entries({ tokenChunk, rowChunk })) {
    if (between(size, 1, Number.MAX_SAFE_INTEGER)) continue;
    throw new ConfigError(`linearCrossEntropy: ${key} must be a positive integer; got ${size}; leave it out`, {
      key,
      actual: size,
    });
  }
  return {};
}

function between(value: unknown, low: number, high: number): boolean {
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
}

function linearCrossEntropyGradient({ saved, gradients, needs, params }: GradientCall): Tensors {
  const { losses: dlosses, logSumExp: dlogSumExp } = gradients;
  if (!dlosses && !dlogSumExp) return {};
  if (needs.has("weight")) assertUnpacked("linearCrossEntropy", saved["weight"]!);
  const wants = { wantsX: needs.has("x"), wantsWeight: needs.has("weight") };
  const inputs = { ...saved, dlosses, dlogSumExp };
  const { dx, dweight } = apply(linearCrossEntropyBackwardOp, inputs, { ...params, ...wants });
  return { x: dx, weight: dweight };
}
