import type { Tensor } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { ownState } from "../state-update/own-state.ts";
import { mambaBlockStepOp } from "./operations.ts";

/** States of one block: conv [batch window-1 dInner], ssm [batch dInner dState]. */
export interface MambaBlockState {
  readonly conv: Tensor;
  readonly ssm: Tensor;
}

/** Weights of one block's mixer, named as in checkpoints. */
export interface MambaBlockWeights {
  readonly inProj: { readonly weight: Tensor; readonly bias?: Tensor };
  readonly conv: { readonly weight: Tensor; readonly bias?: Tensor };
  readonly xProj: { readonly weight: Tensor };
  readonly dtProj: { readonly weight: Tensor; readonly bias: Tensor };
  readonly D: Tensor;
  readonly outProj: { readonly weight: Tensor; readonly bias?: Tensor };
}

/** Options of {@link mambaBlockStep}. */
export interface MambaBlockStepOptions {
  /** [dInner dState], -exp(A_log). */
  A: Tensor;
  /** Of the block's RMS norm. */
  epsilon: number;
  /** Of FalconMamba's weightless norms on delta, B and C; 0 leaves them out. */
  mixerNormEpsilon: number;
  /** Change the state's buffers instead of copies; default false. */
  inPlace?: boolean;
}

/**
 * One token through one residual Mamba block: y = x + mixer(rmsNorm(x)). Not differentiable.
 *
 * The same as `MambaMixer.forward` on a sequence of one token; one op, so that decoding costs little besides arithmetic.
 *
 * @param x - [batch dModel]
 * @param state - see {@link MambaBlockState}
 * @param normWeight - [dModel]
 * @param weights - see {@link MambaBlockWeights}; projections may be packed
 * @param options - see {@link MambaBlockStepOptions}
 * @returns y [batch dModel] and the state after it; with `inPlace` second handles on the memory of `state`, so that either
 *   may be disposed
 * @throws ShapeError if an axis disagrees, or a state to be changed in place is not dense
 * @see Gu & Dao 2023, section 3.4 and figure 3
 */
export function mambaBlockStep(
  x: Tensor,
  state: MambaBlockState,
  normWeight: Tensor,
  weights: MambaBlockWeights,
  options: MambaBlockStepOptions,
): { y: Tensor; state: MambaBlockState } {
  const { A, epsilon, mixerNormEpsilon, inPlace = false } = options;
  const own = (name: "conv" | "ssm"): Tensor => ownState("mambaBlockStep", name, state[name], inPlace);
  const next = { conv: own("conv"), ssm: own("ssm") };
  const optional = (tensor: Tensor | undefined): Tensor | undefined => tensor && dense(tensor);
  const { inProj, conv, xProj, dtProj, D, outProj } = weights;
  const { y } = apply(
    mambaBlockStepOp,
    {
      x: dense(x),
      conv: next.conv,
      ssm: next.ssm,
      normWeight: dense(normWeight),
      inProj: inProj.weight,
      inProjBias: optional(inProj.bias),
      convWeight: dense(conv.weight),
      convBias: optional(conv.bias),
      xProj: xProj.weight,
      dtProj: dtProj.weight,
      dtBias: dense(dtProj.bias),
      A: dense(A),
      D: dense(D),
      outProj: outProj.weight,
      outProjBias: optional(outProj.bias),
    },
    { epsilon, mixerNormEpsilon },
  );
  return { y: y!, state: next };
}
