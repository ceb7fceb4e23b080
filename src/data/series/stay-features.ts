import { DataError } from "../../tensor/errors.ts";
import { PHYSIONET_DESCRIPTORS, PHYSIONET_VARIABLES, type PhysionetRecord } from "./physionet-record.ts";

const VARIABLES = PHYSIONET_VARIABLES.length;
const ICU_TYPES = 4;
/** The descriptors that are numbers: all but the kind of unit, which is the last. */
const NUMBERS = PHYSIONET_DESCRIPTORS.length - 1;

/** Numbers of a row of {@link stayFeatures}. */
export const STAY_INPUT_SIZE = 2 * VARIABLES + NUMBERS + ICU_TYPES;

/** Values of a variable beyond these shares of what was measured are taken for slips: there is a pH of 735. */
const LOW_SHARE = 0.001;
const HIGH_SHARE = 0.999;

/** How one kind of number is spread. */
interface Spread {
  readonly low: number;
  readonly high: number;
  readonly mean: number;
  readonly deviation: number;
}

/** How the numbers of stays are spread; see {@link stayStatistics}. */
export interface StayStatistics {
  readonly variables: readonly Spread[];
  readonly descriptors: readonly Spread[];
}

/**
 * What features are standardised with. Take it of the training part alone: what it says of others would leak into training.
 *
 * For each variable and descriptor: the values below which 0.1 and 99.9 % of the measured ones lie, and mean and standard deviation of all
 * after they were moved between these two. What never was measured, or never changes, gets mean and deviation 0 and 1.
 */
export function stayStatistics(stays: readonly PhysionetRecord[]): StayStatistics {
  return {
    variables: spreads(VARIABLES, stays, ({ values }) => values),
    descriptors: spreads(NUMBERS + 1, stays, ({ descriptors }) => descriptors).slice(0, NUMBERS),
  };
}

function spreads(
  width: number,
  stays: readonly PhysionetRecord[],
  numbersOf: (stay: PhysionetRecord) => Float32Array,
): Spread[] {
  const columns = Array.from({ length: width }, (): number[] => []);
  for (const stay of stays) {
    const numbers = numbersOf(stay);
    for (let i = 0; i < numbers.length; i++) if (!Number.isNaN(numbers[i])) columns[i % width]!.push(numbers[i]!);
  }
  return columns.map(spreadOf);
}

function spreadOf(column: readonly number[]): Spread {
  if (column.length === 0) return { low: 0, high: 0, mean: 0, deviation: 1 };
  const sorted = Float64Array.from(column).sort();
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  const [low, high] = [at(LOW_SHARE), at(HIGH_SHARE)];
  const inside = sorted.map((value) => Math.min(high, Math.max(low, value)));
  const mean = inside.reduce((sum, value) => sum + value, 0) / inside.length;
  const variance = inside.reduce((sum, value) => sum + (value - mean) ** 2, 0) / inside.length;
  return { low, high, mean, deviation: Math.sqrt(variance) || 1 };
}

/** Options of {@link stayFeatures}. */
export interface StayFeatureOptions {
  /**
   * What stands where a variable was not measured: the value measured last, or the mean of training, which also stands before
   * the first. Default `last`.
   */
  readonly fill?: "last" | "mean";
}

/** A stay as a sequence. */
export interface StaySequence {
  /** [rows {@link STAY_INPUT_SIZE}] */
  readonly values: Float32Array;
  /** [rows], in hours since the row before; 1 for the first. */
  readonly deltas: Float32Array;
  readonly rows: number;
}

/**
 * One row of numbers for each time of a stay: 37 standardised values, 37 marks of what was measured then (1 or 0), age, gender
 * and height, standardised and 0 where not known, and a mark for each of the four kinds of unit.
 */
export function stayFeatures(
  { id, minutes, values, descriptors }: PhysionetRecord,
  statistics: StayStatistics,
  { fill = "last" }: StayFeatureOptions = {},
): StaySequence {
  const rows = minutes.length;
  const out = new Float32Array(rows * STAY_INPUT_SIZE);
  const fixed = fixedFeatures(id, descriptors, statistics);
  const last = new Float32Array(VARIABLES);
  for (let row = 0; row < rows; row++) {
    const start = row * STAY_INPUT_SIZE;
    for (let i = 0; i < VARIABLES; i++) {
      const value = values[row * VARIABLES + i]!;
      const isMeasured = !Number.isNaN(value);
      if (isMeasured) last[i] = standardised(value, statistics.variables[i]!);
      out[start + i] = isMeasured || fill === "last" ? last[i]! : 0;
      out[start + VARIABLES + i] = isMeasured ? 1 : 0;
    }
    out.set(fixed, start + 2 * VARIABLES);
  }
  const deltas = Float32Array.from(minutes, (minute, row) => (row === 0 ? 1 : (minute - minutes[row - 1]!) / 60));
  return { values: out, deltas, rows };
}

function fixedFeatures(id: number, descriptors: Float32Array, statistics: StayStatistics): Float32Array {
  const out = new Float32Array(NUMBERS + ICU_TYPES);
  for (let i = 0; i < NUMBERS; i++) {
    if (!Number.isNaN(descriptors[i])) out[i] = standardised(descriptors[i]!, statistics.descriptors[i]!);
  }
  const type = descriptors[NUMBERS]!;
  if (Number.isNaN(type)) return out;
  if (!Number.isInteger(type) || type < 1 || type > ICU_TYPES) {
    throw new DataError(
      `record ${id}: ICUType must be a whole number from 1 to ${ICU_TYPES}; got ${type}; unpack the set again`,
      { id, type },
    );
  }
  out[NUMBERS + type - 1] = 1;
  return out;
}

function standardised(value: number, { low, high, mean, deviation }: Spread): number {
  return (Math.min(high, Math.max(low, value)) - mean) / deviation;
}
