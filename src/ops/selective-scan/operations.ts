import { backendOf, type Tensor, zeros } from "../../tensor/tensor.ts";
import { apply, defineOp, type GradientCall, type Op, type Tensors } from "../op.ts";
import { CHUNK } from "./chunk.ts";

const inputs = [
  "u[batch length channels]",
  "delta[batch length channels]",
  "A[channels state]",
  "B?[batch length groups state]",
  "constantB?[channels state]",
  "C?[batch length groups state]",
  "constantC?[channels state]",
  "D?[channels]",
  "z?[batch length channels]",
  "deltaBias?[channels]",
  "segmentIds?[batch length]",
];
/** Inputs by step, which may be float16 where the rest is float32; {@link selectiveScan} holds them to one type. */
const rowTypes = ["float64", "float32", "float16"] as const;
const rows = { u: rowTypes, delta: rowTypes, z: rowTypes, B: rowTypes, C: rowTypes };
const names = inputs.map((argument) => argument.replace(/\W.*/, ""));

/**
 * The selective scan with everything that is fused into it. Parameters: `deltaSoftplus`, `reverse`, and `segments`, the
 * number of segments whose end states are asked for.
 */
export const selectiveScanOp: Op = defineOp({
  name: "selectiveScan",
  signature: `${inputs.join(", ")}, initialState?[batch channels state] -> y[batch length channels], finalState[batch channels state], segmentStates?[batch segments channels state], chunkStates?[batch chunks channels state]`,
  dtypes: { ...rows, segmentIds: ["int32"] },
  outputDtype: (output, { u, A }) => (output === "y" ? u! : A!).dtype,
  axes: ({ segments }, { length }) => ({ segments: Number(segments ?? 0), chunks: Math.ceil(length! / CHUNK) }),
  produces: (output, { u }, { segments }) =>
    output === "segmentStates" ? segments !== undefined : backendOf(u!.device).recorder !== undefined,
  saved: [...names, "chunkStates"],
  gradient: selectiveScanGradient,
  accumulate: "float32",
});

/** Gradients of everything that {@link selectiveScanOp} was given, from one saved state a chunk. */
export const selectiveScanBackwardOp: Op = defineOp({
  name: "selectiveScanBackward",
  signature: `${inputs.join(", ")}, chunkStates[batch chunks channels state], dy[batch length channels], dFinalState?[batch channels state], dSegmentStates?[batch segments channels state] -> du[batch length channels], dDelta[batch length channels], dA[channels state], dB?[batch length groups state], dConstantB?[channels state], dC?[batch length groups state], dConstantC?[channels state], dD?[channels], dz?[batch length channels], dDeltaBias?[channels], dInitialState?[batch channels state]`,
  dtypes: { ...rows, dy: rowTypes, segmentIds: ["int32"] },
  outputDtype: (output, { u, A }) => (["du", "dDelta", "dz", "dB", "dC"].includes(output) ? u! : A!).dtype,
  produces: (output, given, { initialState }) => {
    if (output === "dInitialState") return initialState === true;
    return given[output[1]!.toLowerCase() + output.slice(2)] !== undefined || given[output.slice(1)] !== undefined;
  },
  accumulate: "float32",
});

function selectiveScanGradient({ saved, gradients, needs, params, shapes }: GradientCall): Tensors {
  const { finalState: dFinalState, segmentStates: dSegmentStates } = gradients;
  const given = Object.fromEntries([...names, "chunkStates"].map((name) => [name, saved[name]]));
  const dy = gradients["y"] ?? zeroLike(saved["u"]!);
  const found = apply(
    selectiveScanBackwardOp,
    { ...given, dy, dFinalState, dSegmentStates },
    { ...params, segments: shapes["segmentStates"]?.[1], initialState: needs.has("initialState") },
  );
  return {
    u: found["du"],
    delta: found["dDelta"],
    A: found["dA"],
    B: found["dB"],
    constantB: found["dConstantB"],
    C: found["dC"],
    constantC: found["dConstantC"],
    D: found["dD"],
    z: found["dz"],
    deltaBias: found["dDeltaBias"],
    initialState: found["dInitialState"],
  };
}

function zeroLike(x: Tensor): Tensor {
  return zeros(x.shape, { device: x.device, dtype: x.dtype });
}
