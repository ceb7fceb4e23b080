import { ConfigError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import {
  computedParameter,
  constantParameter,
  type InitialiseOptions,
  linearBound,
  normalParameter,
  uniformParameter,
} from "../initialisers.ts";
import type { LsslConfig, LsslParameters } from "./lssl-layer.ts";
import type { LsslTransition } from "./transition.ts";

/** How new parameters of an LSSL layer are drawn. */
export interface LsslInitialisation {
  /** What the states stand for; default `legs`. */
  readonly measure?: "legs" | "legt";
  /** Step sizes are log-uniform between these; defaults 0.001 and 0.1. */
  readonly dtMin?: number;
  readonly dtMax?: number;
  /** Outputs of a feature; default 1. */
  readonly channels?: number;
  /** Whether each feature has a transition of its own; default false. */
  readonly perFeature?: boolean;
}

/** What keeps the diagonal of LegT's T from zero. */
const LEGT_NOISE = 0.01;

/**
 * Draws the parameters of an LSSL layer. The transition is that of HiPPO-LegS, or of HiPPO-LegT over a window of length 1, with noise of
 * 0.01 on the diagonal of T; C and D are normal; the linear layer is drawn as any.
 *
 * In the papers' "fixed" layers `transition` and `logDt` are not trained; where they are, the rates are 1e-4 and 1e-3.
 *
 * @throws ConfigError if the choices cannot be
 * @see Gu et al. 2021 (LSSL), sections 4 and D; state-spaces/s4, `lssl.py`
 */
export function initialiseLssl(
  { dModel, dState }: LsslConfig,
  { measure = "legs", dtMin = 0.001, dtMax = 0.1, channels = 1, perFeature = false }: LsslInitialisation,
  options: InitialiseOptions,
): LsslParameters {
  const wrong = (key: string, must: string, value: unknown): never => {
    throw new ConfigError(`initialiseLssl: ${key} must ${must}; got ${value}; change it`, { key, value });
  };
  if (!Number.isInteger(dState) || dState < 1) wrong("dState", "be a whole number, 1 or more", dState);
  if (measure !== "legs" && measure !== "legt") wrong("measure", "be legs or legt", measure);
  if (!(dtMin > 0 && dtMax >= dtMin)) wrong("dtMin", `be above 0 and at most dtMax ${dtMax}`, dtMin);
  const low = Math.log(dtMin);
  const logDt = (): number => low + options.random.uniform() * (Math.log(dtMax) - low);
  return {
    transition: startingTransition(measure, perFeature ? dModel : 1, dState, options),
    logDt: computedParameter([dModel], logDt, options),
    C: normalParameter([dModel, channels, dState], 1, options),
    D: normalParameter([dModel, channels], 1, options),
    outputLinear: {
      weight: uniformParameter([dModel, channels * dModel], linearBound(channels * dModel), options),
      bias: uniformParameter([dModel], linearBound(channels * dModel), options),
    },
  };
}

function startingTransition(
  measure: "legs" | "legt",
  copies: number,
  dState: number,
  options: InitialiseOptions,
): LsslTransition {
  const shape = [copies, dState];
  const isLegs = measure === "legs";
  const each = (value: (n: number) => number): Tensor => computedParameter(shape, (i) => value(i % dState), options);
  const isEnd = (n: number): boolean => n === 0 || n === dState - 1;
  return {
    dl: constantParameter(shape, isLegs ? -1 : -0.5, options),
    d: each((n) => (isLegs ? 1 : (isEnd(n) ? 0.5 : 0) + LEGT_NOISE * options.random.normal())),
    du: constantParameter(shape, isLegs ? 0 : 0.5, options),
    pl: each((n) => Math.sqrt(2 * n + 1)),
    pr: each((n) => Math.sqrt(2 * n + 1)),
    c: each((n) => (isLegs ? -n / (2 * n + 1) : 0)),
    b: constantParameter(shape, 1, options),
  };
}
