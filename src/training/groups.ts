import type { Tensor } from "../tensor/tensor.ts";

/** Settings of the parameters that a rule matches. */
export interface ParameterGroup {
  /** Which parameters: a pattern for the dotted name, or a function. */
  readonly match: RegExp | ((name: string, parameter: Tensor) => boolean);
  /** Multiplies the learning rate of the schedule; default 1. */
  readonly learningRateScale?: number;
  /** Replaces the schedule's learning rate by a fixed one. */
  readonly learningRate?: number;
  /** Default: that of the optimizer. */
  readonly weightDecay?: number;
}

/** What applies to one parameter. */
export interface GroupSettings {
  /** Learning rate from that of the schedule. */
  readonly learningRate: (scheduled: number) => number;
  readonly weightDecay: number;
}

/**
 * Whether weight decay applies to a parameter by default: matrices, embeddings and convolutions, but not A_log, D, biases and
 * norms, which the official code marks too.
 */
export function decaysByDefault(name: string, parameter: Tensor): boolean {
  return parameter.shape.length >= 2 && !name.endsWith("A_log");
}

/** The settings of a parameter: the first group that matches, else the default. */
export function settingsOf(
  name: string,
  parameter: Tensor,
  groups: readonly ParameterGroup[],
  weightDecay: number,
): GroupSettings {
  const usual = decaysByDefault(name, parameter) ? weightDecay : 0;
  const group = groups.find(({ match }) => (match instanceof RegExp ? match.test(name) : match(name, parameter)));
  const { learningRate, learningRateScale = 1 } = group ?? {};
  return {
    learningRate: (scheduled) => learningRate ?? scheduled * learningRateScale,
    weightDecay: group?.weightDecay ?? usual,
  };
}
