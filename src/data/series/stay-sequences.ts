import type { LabelledExamples } from "../labelled-examples.ts";
import { checkSize } from "../task-options.ts";
import type { LabelledStay } from "./physionet.ts";
import { STAY_INPUT_SIZE, type StayFeatureOptions, type StayStatistics, stayFeatures } from "./stay-features.ts";

/** Options of {@link staySequences}. */
export interface StaySequenceOptions extends StayFeatureOptions {
  /** Of {@link stayStatistics}, from stays of training alone. */
  readonly statistics: StayStatistics;
  /** `true`: with the hours between rows. `regular`: as if rows were as far apart from each other. Default `true`. */
  readonly times?: "true" | "regular";
  /** Most rows of a sequence; longer stays keep their last ones. Default: all. */
  readonly length?: number;
}

/** Stays as sequences of two classes: 1 for death in hospital. See {@link stayFeatures} for a row. */
export function staySequences(
  stays: readonly LabelledStay[],
  { statistics, fill, times = "true", length = Number.MAX_SAFE_INTEGER }: StaySequenceOptions,
): LabelledExamples {
  checkSize("staySequences", "length", length, 1, Number.MAX_SAFE_INTEGER);
  return {
    ...{ count: stays.length, classes: 2, inputSize: STAY_INPUT_SIZE },
    labels: Int32Array.from(stays, ({ label }) => label),
    sequence: (index) => {
      const { values, deltas, rows } = stayFeatures(stays[index]!, statistics, fill ? { fill } : {});
      const first = Math.max(0, rows - length);
      const cut = { values: values.subarray(first * STAY_INPUT_SIZE), rows: rows - first };
      return times === "true" ? { ...cut, deltas: deltas.subarray(first) } : cut;
    },
  };
}
