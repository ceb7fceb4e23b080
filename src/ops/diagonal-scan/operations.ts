import { backendOf, type Tensor, zeros } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";
import { sum } from "../reduce/index.ts";
import { CHUNK } from "./chunk.ts";

const system = "A[channels state 2], gain[channels state 2], C[channels state 2]";
const rows = "u[batch length channels], delta[batch length channels]";

/** A diagonal recurrence with a step size for each step. Parameters: `bilinear` (else zero-order hold), `conjugate`. */
export const diagonalScanOp: Op = defineOp({
  name: "diagonalScan",
  signature: `${rows}, ${system}, initialState?[batch channels state 2] -> y[batch length channels], finalState[batch channels state 2], chunkStates?[batch chunks channels state 2]`,
  axes: (_, { length }) => ({ chunks: Math.ceil(length! / CHUNK) }),
  produces: (_, { u }) => backendOf(u!.device).recorder !== undefined,
  saved: ["u", "delta", "A", "gain", "C", "chunkStates"],
  gradient: diagonalScanGradient,
  accumulate: "float32",
});

/** Gradients, those of the system for each sequence apart; states are worked out again from one a chunk. */
export const diagonalScanBackwardOp: Op = defineOp({
  name: "diagonalScanBackward",
  signature: `${rows}, ${system}, chunkStates[batch chunks channels state 2], dy[batch length channels], dFinalState?[batch channels state 2] -> du[batch length channels], dDelta[batch length channels], dA[batch channels state 2], dGain[batch channels state 2], dC[batch channels state 2], dInitialState[batch channels state 2]`,
  accumulate: "float32",
});

function diagonalScanGradient({ saved, gradients, params }: GradientCall): Tensors {
  const { finalState } = gradients;
  const dy = gradients["y"] ?? zeroLike(saved["u"]!);
  const found = apply(
    diagonalScanBackwardOp,
    { ...saved, dy, dFinalState: finalState && dense(finalState) },
    params,
  ) as Record<"du" | "dDelta" | "dA" | "dGain" | "dC" | "dInitialState", Tensor>;
  const overBatch = (x: Tensor): Tensor => sum(x, { axis: 0 });
  return {
    u: found.du,
    delta: found.dDelta,
    A: overBatch(found.dA),
    gain: overBatch(found.dGain),
    C: overBatch(found.dC),
    initialState: found.dInitialState,
  };
}

function zeroLike({ shape, device, dtype }: Tensor): Tensor {
  return zeros(shape, { device, dtype });
}
