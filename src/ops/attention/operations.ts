import { dense } from "../movement/operations.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";

/** Causal softmax attention. Parameter: `scale`, which multiplies the products of queries and keys. */
export const attentionOp: Op = defineOp({
  name: "attention",
  signature:
    "q[batch length heads width], k[batch keys heads width], v[batch keys heads width], segmentIds?[batch keys]" +
    " -> y[batch length heads width], logSumExp[batch heads length]",
  dtypes: { segmentIds: ["int32"] },
  saved: ["q", "k", "v", "segmentIds", "y", "logSumExp"],
  gradient: attentionGradient,
  accumulate: "float32",
});

/** Gradients of queries, keys and values; the weights are computed again from `logSumExp`. */
export const attentionBackwardOp: Op = defineOp({
  name: "attentionBackward",
  signature:
    "q[batch length heads width], k[batch keys heads width], v[batch keys heads width], segmentIds?[batch keys]," +
    " y[batch length heads width], logSumExp[batch heads length], dy[batch length heads width]" +
    " -> dq[batch length heads width], dk[batch keys heads width], dv[batch keys heads width]",
  dtypes: { segmentIds: ["int32"] },
  accumulate: "float32",
});

function attentionGradient({ saved, gradients, params }: GradientCall): Tensors {
  const { q, k, v, segmentIds, y, logSumExp } = saved;
  const dy = gradients["y"];
  if (!dy) return {};
  const { dq, dk, dv } = apply(attentionBackwardOp, { q, k, v, segmentIds, y, logSumExp, dy: dense(dy) }, params);
  return { q: dq, k: dk, v: dv };
}
