import type { Tensor } from "../tensor/tensor.ts";
import {
  computedParameter,
  constantParameter,
  type InitialiseOptions,
  linearBound,
  uniformParameter,
} from "./initialisers.ts";
import type { MambaMixerConfig, MambaMixerParameters } from "./mamba-mixer.ts";

/** How step sizes and the output projection start. */
export interface MambaMixerInitialisation {
  readonly dtMin: number;
  readonly dtMax: number;
  readonly dtFloor: number;
  readonly dtScheme: "random" | "constant";
  readonly dtScale: number;
  /** Divisor of `outProj`, sqrt(number of residual layers). */
  readonly outProjDivisor: number;
}

/**
 * Draws a mixer's parameters as the official code does.
 *
 * A_log[c n] = log(n + 1) (S4D-Real); D = 1; dtProj.bias = softplus^-1(dt) with dt log-uniform in
 * [dtMin dtMax] and at least dtFloor; dtProj.weight uniform in +-dtScale/sqrt(dtRank); the others as PyTorch
 * draws them; projection biases 0.
 *
 * @see Gu & Dao 2023, section 3.6; state-spaces/mamba, `mamba_simple.py`
 */
export function initialiseMambaMixer(
  config: MambaMixerConfig,
  start: MambaMixerInitialisation,
  options: InitialiseOptions,
): MambaMixerParameters {
  const { dModel, dInner, dState, dConv, dtRank } = config;
  const uniform = (shape: number[], bound: number): Tensor => uniformParameter(shape, bound, options);
  const projectionBias = (size: number): { bias?: Tensor } =>
    config.bias ? { bias: constantParameter([size], 0, options) } : {};
  const convBound = linearBound(dConv);
  const inProj = { weight: uniform([2 * dInner, dModel], linearBound(dModel)), ...projectionBias(2 * dInner) };
  const conv = {
    weight: uniform([dInner, dConv], convBound),
    ...(config.convBias ? { bias: uniform([dInner], convBound) } : {}),
  };
  const xProj = { weight: uniform([dtRank + 2 * dState, dInner], linearBound(dInner)) };
  const dtProj = { weight: stepWeight(config, start, options), bias: stepBias(dInner, start, options) };
  const outBound = linearBound(dInner) / start.outProjDivisor;
  return {
    inProj,
    conv,
    xProj,
    dtProj,
    A_log: computedParameter([dInner, dState], (i) => Math.log((i % dState) + 1), options),
    D: constantParameter([dInner], 1, options),
    outProj: { weight: uniform([dModel, dInner], outBound), ...projectionBias(dModel) },
  };
}

function stepWeight(
  { dInner, dtRank }: MambaMixerConfig,
  { dtScale, dtScheme }: MambaMixerInitialisation,
  options: InitialiseOptions,
): Tensor {
  const bound = dtScale / Math.sqrt(dtRank);
  const shape = [dInner, dtRank];
  return dtScheme === "constant" ? constantParameter(shape, bound, options) : uniformParameter(shape, bound, options);
}

function stepBias(dInner: number, start: MambaMixerInitialisation, options: InitialiseOptions): Tensor {
  const low = Math.log(start.dtMin);
  const high = Math.log(start.dtMax);
  return computedParameter(
    [dInner],
    () => {
      const dt = Math.max(Math.exp(options.random.uniform() * (high - low) + low), start.dtFloor);
      return dt + Math.log(-Math.expm1(-dt));
    },
    options,
  );
}
