import { ConfigError } from "../../tensor/errors.ts";
import type { Random } from "../../tensor/random.ts";
import type { HippoMeasure } from "../hippo/measures.ts";
import { normalPlusLowRank } from "../hippo/nplr.ts";
import {
  computedParameter,
  type InitialiseOptions,
  linearBound,
  normalParameter,
  uniformParameter,
} from "../initialisers.ts";
import { tuned } from "./dense.ts";
import type { S4Config, S4Parameters } from "./s4-layer.ts";

/** What the states of new layers stand for: a HiPPO measure, or the lines that S4D draws them on. */
export type S4Start = HippoMeasure | "lin" | "inv" | "real" | "random";

/** How new parameters of an S4 or S4D layer are drawn. */
export interface S4Initialisation {
  /** Default `legs`; low rank wants a HiPPO measure, a diagonal takes `legs` and those of S4D. */
  readonly init?: S4Start;
  /** Step sizes are log-uniform between these; defaults 0.001 and 0.1. */
  readonly dtMin?: number;
  readonly dtMax?: number;
  /** Outputs of a feature; default 1. */
  readonly channels?: number;
  /** Systems that the features share in turn; a divisor of dModel, default 1. */
  readonly copies?: number;
  /** Whether B is a parameter of its own and not part of C; low rank always has it. Default true. */
  readonly keepB?: boolean;
}

/** Largest imaginary part of a diagonal system's B; A_imag is at least the other. */
const LARGEST_B = 2;
const LEAST_FREQUENCY = 1e-4;
const MEASURES: readonly string[] = ["legs", "legt", "lagt", "fout", "foud"];

/** One system: pairs [half 2], P [rank half 2]. */
interface StartingSystem {
  readonly A: Float64Array;
  readonly B: Float64Array;
  readonly P: Float64Array | undefined;
  readonly rank: number;
}

/**
 * Draws the parameters of an S4 or S4D layer.
 *
 * A, B and P are those of `init`: of HiPPO in the basis of its eigenvectors, or with real part -1/2 and, for the n-th of N/2 pairs, the
 * imaginary part pi n (`lin`), (N / pi) (N / (2n + 1) - 1) (`inv`) or exp(normal) (`random`); or -(n + 1) without imaginary part
 * (`real`). B is 1 for those; the imaginary part of HiPPO's B is cut at +-2 for a diagonal. C has real and imaginary parts of variance
 * 1/2 and is, with low rank, tuned to `kernelLength`; D is normal; the linear layer is drawn as any.
 *
 * @throws ConfigError if the choices do not fit together
 * @see Gu, Goel & Ré 2021 (S4); Gu, Gupta, Goel & Ré 2022 (S4D), section 4; state-spaces/s4, `models/s4/s4.py`
 */
export function initialiseS4(config: S4Config, start: S4Initialisation, options: InitialiseOptions): S4Parameters {
  const { channels = 1, copies = 1, keepB = true } = start;
  const { dModel, dState } = config;
  checkStart(config, start);
  const half = dState / 2;
  const systems = Array.from({ length: copies }, () => startingSystem(config, start, options.random));
  const steps = stepSizes(dModel, start, options.random);
  const kernels = config.bidirectional ? 2 * channels : channels;
  const C = Float64Array.from({ length: 2 * kernels * dModel * half }, () => options.random.normal() * Math.SQRT1_2);
  const { kernelLength } = config;
  if (config.structure === "low-rank") {
    for (let row = 0; row < kernels * dModel; row++) {
      const feature = row % dModel;
      const { A, P } = systems[feature % copies]!;
      const own = C.slice(2 * row * half, 2 * (row + 1) * half);
      C.set(tuned(own, { A, P: P!, dt: steps[feature]!, half }, kernelLength!, false), 2 * row * half);
    }
  }
  const { rank } = systems[0]!;
  const pairs = 2 * half;
  const values = (shape: number[], data: ArrayLike<number>) => computedParameter(shape, (i) => data[i]!, options);
  const eachPair = (of: (re: number, im: number) => number): Float64Array =>
    Float64Array.from(systems.flatMap(({ A }) => Array.from({ length: half }, (_, n) => of(A[2 * n]!, A[2 * n + 1]!))));
  const kernel = {
    C: values([kernels, dModel, half, 2], C),
    ...(keepB || rank > 0
      ? {
          B: values(
            [1, copies, half, 2],
            systems.flatMap(({ B }) => [...B]),
          ),
        }
      : {}),
    ...(rank > 0 ? { P: values([rank, copies, half, 2], rowsByRank(systems, rank, pairs)) } : {}),
    A_real: values(
      [copies, half],
      eachPair((re) => Math.log(Math.max(-re, LEAST_FREQUENCY))),
    ),
    A_imag: values(
      [copies, half],
      eachPair((_, im) => Math.max(Math.abs(im), LEAST_FREQUENCY)),
    ),
    invDt: computedParameter([dModel, 1], (i) => inverseStep(steps[i]!, config), options),
  };
  return {
    kernel,
    D: normalParameter([channels, dModel], 1, options),
    outputLinear: {
      weight: uniformParameter([2 * dModel, channels * dModel], linearBound(channels * dModel), options),
      bias: uniformParameter([2 * dModel], linearBound(channels * dModel), options),
    },
  };
}

function checkStart(
  config: S4Config,
  { init = "legs", dtMin = 0.001, dtMax = 0.1, copies = 1 }: S4Initialisation,
): void {
  const wrong = (key: string, must: string, value: unknown): never => {
    throw new ConfigError(`initialiseS4: ${key} must ${must}; got ${value}; change it`, { key, value });
  };
  const isLowRank = config.structure === "low-rank";
  if (config.dState % 2 !== 0 || config.dState < 2) wrong("dState", "be even and at least 2", config.dState);
  const counterclockwise = config.imaginarySign === 1;
  if (counterclockwise && MEASURES.includes(init))
    wrong("init", "be lin, inv, real or random with imaginarySign 1", init);
  if (config.dModel % copies !== 0) wrong("copies", `divide dModel ${config.dModel}`, copies);
  if (!(dtMin > 0 && dtMax >= dtMin)) wrong("dtMin", `be above 0 and at most dtMax ${dtMax}`, dtMin);
  if (isLowRank && !MEASURES.includes(init)) wrong("init", `be one of ${MEASURES.join(", ")} for low rank`, init);
  if (!isLowRank && init !== "legs" && MEASURES.includes(init))
    wrong("init", "be legs, lin, inv, real or random", init);
  if (isLowRank && !(config.kernelLength! >= 1)) wrong("kernelLength", "be given for low rank", config.kernelLength);
}

function startingSystem(
  { dState, structure }: S4Config,
  { init = "legs" }: S4Initialisation,
  random: Random,
): StartingSystem {
  const half = dState / 2;
  if (MEASURES.includes(init)) {
    const { Lambda, P, B, rank } = normalPlusLowRank(init as HippoMeasure, dState);
    if (structure === "low-rank") return { A: Lambda, B, P, rank };
    const cut = B.map((x, i) => (i % 2 === 0 ? x : Math.min(Math.max(x, -LARGEST_B), LARGEST_B)));
    return { A: Lambda, B: cut, P: undefined, rank: 0 };
  }
  const A = new Float64Array(2 * half);
  for (let n = 0; n < half; n++) A.set(startOnLine(init as Exclude<S4Start, HippoMeasure>, n, dState, random), 2 * n);
  return { A, B: A.map((_, i) => (i % 2 === 0 ? 1 : 0)), P: undefined, rank: 0 };
}

function startOnLine(
  init: Exclude<S4Start, HippoMeasure>,
  n: number,
  dState: number,
  random: Random,
): [re: number, im: number] {
  if (init === "real") return [-(n + 1), 0];
  if (init === "lin") return [-0.5, -Math.PI * n];
  if (init === "inv") return [-0.5, -(dState / Math.PI) * (dState / (2 * n + 1) - 1)];
  return [-0.5, -Math.exp(random.normal())];
}

function stepSizes(dModel: number, { dtMin = 0.001, dtMax = 0.1 }: S4Initialisation, random: Random): number[] {
  const low = Math.log(dtMin);
  return Array.from({ length: dModel }, () => Math.exp(low + random.uniform() * (Math.log(dtMax) - low)));
}

function inverseStep(step: number, { dtTransform = "exp" }: S4Config): number {
  return dtTransform === "exp" ? Math.log(step) : step + Math.log(-Math.expm1(-step));
}

/** [rank copies half 2] of each system's [rank half 2]. */
function rowsByRank(systems: readonly StartingSystem[], rank: number, pairs: number): number[] {
  return Array.from({ length: rank }, (_, r) =>
    systems.flatMap(({ P }) => [...P!.subarray(r * pairs, (r + 1) * pairs)]),
  ).flat();
}
