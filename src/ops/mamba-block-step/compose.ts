import type { Params } from "../../tensor/device.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { convUpdate } from "../causal-conv/index.ts";
import { add } from "../elementwise/index.ts";
import { linear } from "../linear/index.ts";
import { split } from "../movement/index.ts";
import type { Tensors } from "../op.ts";
import { rmsNorm } from "../rms-norm/index.ts";
import { stateUpdate } from "../state-update/index.ts";

/** The block out of other ops: what every faster kernel is held to. */
export function composeMambaBlockStep(inputs: Tensors, params: Params): { y: Tensor } {
  const given = inputs as Record<string, Tensor>;
  const { x, conv, ssm, normWeight, inProj, convWeight, xProj, dtProj, dtBias, A, D, outProj } = given as Required<
    typeof given
  >;
  const mixerEpsilon = params["mixerNormEpsilon"] as number;
  return scope(() => {
    const { y: normed } = rmsNorm(x!, normWeight, { epsilon: params["epsilon"] as number });
    const [input, z] = split(linear(normed, inProj!, inputs["inProjBias"]), [A!.shape[0]!, A!.shape[0]!]);
    const u = convUpdate(input!, convWeight!, conv!, { bias: inputs["convBias"], activation: "silu", inPlace: true }).y;
    const states = A!.shape[1]!;
    const parts = split(linear(u, xProj!), [dtProj!.shape[1]!, states, states]);
    const [step, B, C] =
      mixerEpsilon > 0 ? parts.map((part) => rmsNorm(part, undefined, { epsilon: mixerEpsilon }).y) : parts;
    const options = { D, z, deltaBias: dtBias, deltaSoftplus: true, inPlace: true };
    const { y } = stateUpdate(ssm!, u, linear(step!, dtProj!), A!, B!, C!, options);
    return { y: add(x!, linear(y, outProj!, inputs["outProjBias"])) };
  });
}
