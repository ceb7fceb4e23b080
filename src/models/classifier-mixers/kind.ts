import type { InitialiseOptions } from "../../layers/initialisers.ts";
import type { StreamOptions } from "../../ops/random/index.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** What a mixer may make use of. */
export interface MixOptions {
  /** Step sizes are multiplied by it; default 1. */
  readonly rate?: number | undefined;
  /** [batch length], what lies between a sample and the one before. */
  readonly deltas?: Tensor | undefined;
  readonly random?: StreamOptions | undefined;
}

/** A layer's mixer, [batch length dModel] to the same. */
export type Mixer = (u: Tensor, options: MixOptions) => Tensor;

/** A mixer that is given one sample at a time. */
export interface MixerSteps extends Disposable {
  /** What it carries before the first sample. */
  initialState(batch: number): readonly Tensor[];
  /**
   * @param u - [batch dModel]
   * @param state - stays valid
   * @returns y [batch dModel]
   */
  step(u: Tensor, state: readonly Tensor[]): { y: Tensor; state: readonly Tensor[] };
}

/** What a kind of mixer offers to a classifier. */
export interface MixerKind<Config, Parameters> {
  /** New parameters. */
  create(config: Config, dModel: number, options: InitialiseOptions): Parameters;
  /** A mixer of given parameters, over whole sequences. */
  mixer(config: Config, dModel: number, parameters: Parameters): Mixer;
  /**
   * The same, sample by sample.
   *
   * @param rate - step sizes are multiplied by it
   * @throws ConfigError if it looks ahead, or does not take a rate
   */
  steps(config: Config, dModel: number, parameters: Parameters, rate: number): Promise<MixerSteps>;
}

/** @throws ConfigError if an option came that this kind of mixer does not take */
export function refuse(kind: string, option: string, value: unknown): void {
  if (value === undefined) return;
  throw new ConfigError(
    `SequenceClassifier: ${option} must be left out with a mixer of kind ${kind}; got one; use a mixer that takes it`,
    { option, kind },
  );
}
