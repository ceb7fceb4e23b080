import { causalConv } from "../ops/causal-conv/index.ts";
import { add, exp, mul, neg, softplus } from "../ops/elementwise/index.ts";
import { linear } from "../ops/linear/index.ts";
import { reshape, split } from "../ops/movement/index.ts";
import { rmsNorm } from "../ops/rms-norm/index.ts";
import { selectiveScan } from "../ops/selective-scan/index.ts";
import { ConfigError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import { backendOf, type Tensor, tensor, zeros } from "../tensor/tensor.ts";
import type { LinearParameters } from "./linear.ts";
import { deltasOf, type SampleTimes } from "./sample-times.ts";

/** Sizes and choices of a Mamba-1 mixer. */
export interface MambaMixerConfig {
  readonly dModel: number;
  readonly dInner: number;
  readonly dState: number;
  readonly dConv: number;
  readonly dtRank: number;
  readonly bias: boolean;
  readonly convBias: boolean;
  /** Whether delta, B and C depend on the input; false feeds their projection ones instead. Default true. */
  readonly selective?: boolean;
  /** Epsilon of FalconMamba's weightless RMS norms on delta, B and C; 0 leaves them out. */
  readonly mixerNormEpsilon: number;
}

/** Parameters of a Mamba-1 mixer; names as in checkpoints, in camel case. */
export type MambaMixerParameters = {
  /** [2 dInner, dModel], the rows of x, then those of the gate z. */
  readonly inProj: LinearParameters;
  /** weight [dInner dConv], newest sample last; bias [dInner]. */
  readonly conv: { readonly weight: Tensor; readonly bias?: Tensor };
  /** [dtRank + 2 dState, dInner], rows of delta, B, C. */
  readonly xProj: { readonly weight: Tensor };
  /** weight [dInner dtRank]; bias [dInner] is added inside the softplus. */
  readonly dtProj: { readonly weight: Tensor; readonly bias: Tensor };
  /** [dInner dState], A = -exp(A_log). */
  readonly A_log: Tensor;
  /** [dInner] skip. */
  readonly D: Tensor;
  /** [dModel dInner] */
  readonly outProj: LinearParameters;
};

/** What a mixer carries from one token to the next. */
export interface MambaMixerState {
  /** [batch dConv-1 dInner] last inputs of the convolution, newest last. */
  readonly conv: Tensor;
  /** [batch dInner dState] state of the recurrence, always float32 on fast devices. */
  readonly ssm: Tensor;
}

/** Takes a value, how to make it again, and from what. */
export type MakeAgain = (value: Tensor, make: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]) => void;

/**
 * Options of {@link MambaMixer.forward}. Where samples were not taken at equal times, delta is softplus(dtProj d + bias) times what lies
 * between a sample and the one before: the recurrence runs in their time, the short convolution goes on counting samples.
 */
export interface MambaMixerOptions extends SampleTimes {
  readonly state?: MambaMixerState;
  /** int32 [batch length], non-decreasing; -1 is padding. */
  readonly segmentIds?: Tensor;
  /** Run over time from the end. */
  readonly reverse?: boolean;
  /**
   * While gradients are recorded: `makeAgain` of `mamba.ts/autograd`, to be told that the convolution's output and delta need not be
   * kept for backward; the official implementation makes them again too.
   */
  readonly makeAgain?: MakeAgain;
}

/**
 * The Mamba-1 block without its norm: gated selective state-space model with a short convolution.
 *
 *     [u z] = inProj x;  u = SiLU(conv u);  [d B C] = xProj u;  delta = softplus(dtProj d + bias)
 *     h[t] = exp(delta[t] A) h[t-1] + delta[t] B[t] u[t];  y[t] = C[t] . h[t] + D u[t]
 *     out = outProj (y SiLU(z))
 *
 * @see Gu & Dao 2023, section 3.4 and algorithm 2
 */
export class MambaMixer {
  readonly config: MambaMixerConfig;
  readonly parameters: MambaMixerParameters;
  #decay: { A: Tensor; version: number } | undefined;

  constructor(config: MambaMixerConfig, parameters: MambaMixerParameters) {
    this.config = config;
    this.parameters = parameters;
  }

  /**
   * Runs over any number of tokens on any state.
   *
   * @param x - [batch length dModel]
   * @returns y [batch length dModel] and the state after the last token
   * @throws ShapeError if shapes do not fit the configuration; ConfigError if time stamps decrease, or are given for a run from the end
   */
  forward(x: Tensor, options: MambaMixerOptions = {}): { y: Tensor; state: MambaMixerState } {
    const { inProj, conv, dtProj, D, outProj } = this.parameters;
    const { dInner } = this.config;
    const { state, segmentIds, reverse } = options;
    const convolve = (x: Tensor, initialState?: Tensor, ids?: Tensor): { y: Tensor; finalState: Tensor } =>
      causalConv(x, conv.weight, { bias: conv.bias, activation: "silu", initialState, segmentIds: ids, reverse });
    const A = this.decay();
    return scope(() => {
      const deltas = this.#deltas(x, options);
      const [input, z] = split(linear(x, inProj.weight, inProj.bias), [dInner, dInner]) as [Tensor, Tensor];
      const convolved = convolve(input, state?.conv, segmentIds);
      const u = convolved.y;
      options.makeAgain?.(u, (x, ...rest) => convolve(x, state && rest[0], segmentIds && rest.at(-1)).y, [
        input,
        ...(state ? [state.conv] : []),
        ...(segmentIds ? [segmentIds] : []),
      ]);
      const { delta, B, C } =
        this.config.selective === false ? this.#constants(u) : this.#selection(u, options.makeAgain);
      const times = deltas && mul(softplus(add(delta, dtProj.bias)), reshape(deltas, [...deltas.shape, 1]));
      const scanned = selectiveScan(u, times ?? delta, A, B, C, {
        ...{ D, z },
        ...(times ? {} : { deltaBias: dtProj.bias, deltaSoftplus: true }),
        initialState: state?.ssm,
        segmentIds,
        reverse,
      });
      const y = linear(scanned.y, outProj.weight, outProj.bias);
      return { y, state: { conv: convolved.finalState, ssm: scanned.finalState } };
    });
  }

  #deltas(x: Tensor, options: MambaMixerOptions): Tensor | undefined {
    if (options.reverse && options.timeStamps) {
      throw new ConfigError(
        "MambaMixer: timeStamps must be left out in a run from the end; got both; pass what lies between a sample and the next as deltas",
        { key: "timeStamps" },
      );
    }
    return deltasOf("MambaMixer", options, x);
  }

  #selection(u: Tensor, makeAgain?: MakeAgain): { delta: Tensor; B: Tensor; C: Tensor } {
    const { dtRank, dState, mixerNormEpsilon } = this.config;
    const { xProj, dtProj } = this.parameters;
    const parts = split(linear(u, xProj.weight), [dtRank, dState, dState]);
    const [step, B, C] = (
      mixerNormEpsilon > 0 ? parts.map((part) => rmsNorm(part, undefined, { epsilon: mixerNormEpsilon }).y) : parts
    ) as [Tensor, Tensor, Tensor];
    const delta = linear(step, dtProj.weight);
    makeAgain?.(delta, (own) => linear(own, dtProj.weight), [step]);
    return { delta, B, C };
  }

  /**
   * The same for every input: the projections see ones, so that delta is one number a channel and B and C are [dInner dState]
   * with equal rows. Nothing is selected; the recurrence is time-invariant.
   */
  #constants(u: Tensor): { delta: Tensor; B: Tensor; C: Tensor } {
    const { device, dtype, shape } = u;
    const { dInner, dState } = this.config;
    const one = tensor(new Float32Array(dInner).fill(1), [1, dInner], { device, dtype });
    const { delta, B, C } = this.#selection(one);
    const spread = (x: Tensor, to: readonly number[]): Tensor => add(x, zeros(to, { device, dtype }));
    return { delta: spread(delta, shape), B: spread(B, [dInner, dState]), C: spread(C, [dInner, dState]) };
  }

  /** A = -exp(A_log) [dInner dState]; kept between calls while A_log stays as it is and nothing is recorded. */
  decay(): Tensor {
    const { A_log } = this.parameters;
    const { version } = A_log.storage;
    if (backendOf(A_log.device).recorder) return neg(exp(A_log));
    if (this.#decay?.version !== version) {
      this.#decay?.A.dispose();
      const made = scope(() => neg(exp(A_log)));
      this.#decay = { A: made.alias(), version };
      made.dispose();
    }
    return this.#decay!.A;
  }

  /** Frees what is kept between calls; parameters belong to whoever made them. */
  dispose(): void {
    this.#decay?.A.dispose();
    this.#decay = undefined;
  }
}
