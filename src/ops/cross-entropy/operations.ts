import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";

/** Cross-entropy of every token from logits that exist already. `valid` is 1 or 0, in the type of the losses. */
export const crossEntropyOp: Op = defineOp({
  name: "crossEntropy",
  signature: "logits[tokens vocabulary], targets[tokens] -> losses[tokens], valid[tokens], logSumExp[tokens]",
  dtypes: { targets: ["int32"] },
  saved: ["logits", "targets", "logSumExp"],
  gradient: (call) => crossEntropyGradient(call),
  accumulate: "float32",
});

/** dlogits = (dlosses + dlogSumExp) softmax(logits) - dlosses onehot(targets); 0 where a target is ignored. */
export const crossEntropyBackwardOp: Op = defineOp({
  name: "crossEntropyBackward",
  signature:
    "logits[tokens vocabulary], targets[tokens], logSumExp[tokens], dlosses?[tokens], dlogSumExp?[tokens] -> dlogits[tokens vocabulary]",
  dtypes: { targets: ["int32"] },
  accumulate: "float32",
});

function crossEntropyGradient({ saved, gradients, params }: GradientCall): Tensors {
  const { losses: dlosses, logSumExp: dlogSumExp } = gradients;
  if (!dlosses && !dlogSumExp) return {};
  return { logits: apply(crossEntropyBackwardOp, { ...saved, dlosses, dlogSumExp }, params)["dlogits"] };
}
