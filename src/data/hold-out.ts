import { ConfigError } from "../tensor/errors.ts";
import type { LabelledExamples } from "./labelled-examples.ts";
import { permuted } from "./permutation.ts";
import { checkSize } from "./task-options.ts";

/** No epoch of training has this number, so its order of rows is drawn apart. */
const HOLD_OUT_EPOCH = 2 ** 32 - 1;

/** Options of {@link holdOut}. */
export interface HoldOutOptions {
  /** Between 0 and 1. */
  readonly share: number;
  /** Same seed, same examples. */
  readonly seed: number;
}

/**
 * Keeps a share of `count` examples apart, drawn without replacement.
 *
 * @returns numbers of the examples for training and of those kept apart, each rising
 * @throws ConfigError if one of the two would be empty
 */
export function holdOut(
  count: number,
  { share, seed }: HoldOutOptions,
): { readonly training: Int32Array; readonly validation: Int32Array } {
  checkSize("holdOut", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  const kept = Math.round(count * share);
  if (!(kept > 0 && kept < count)) {
    throw new ConfigError(
      `holdOut: a share must leave examples on both sides; ${share} of ${count} keeps ${kept} apart; choose another share`,
      { share, count },
    );
  }
  const isKept = new Uint8Array(count);
  for (let i = 0; i < kept; i++) isKept[permuted(i, count, { seed, epoch: HOLD_OUT_EPOCH })] = 1;
  const numbers = Int32Array.from(isKept.keys());
  return { training: numbers.filter((i) => !isKept[i]), validation: numbers.filter((i) => isKept[i]) };
}

/** Some of the examples, in the order of `numbers`. */
export function pickExamples(examples: LabelledExamples, numbers: Int32Array): LabelledExamples {
  return {
    count: numbers.length,
    classes: examples.classes,
    inputSize: examples.inputSize,
    labels: numbers.map((number) => examples.labels[number]!),
    sequence: (index) => examples.sequence(numbers[index]!),
  };
}
