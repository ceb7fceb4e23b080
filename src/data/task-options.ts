import { ConfigError } from "../tensor/errors.ts";

/** Options that all synthetic tasks share. */
export interface TaskOptions {
  /** Rows of a batch. */
  readonly batch: number;
  /** Same seed, same batches. */
  readonly seed: number;
}

/** Throws unless a size is a whole number in its range. */
export function checkSize(task: string, name: string, value: number, low: number, high = 2 ** 31): void {
  if (Number.isSafeInteger(value) && value >= low && value <= high) return;
  throw new ConfigError(`${task}: ${name} must be a whole number from ${low} to ${high}; got ${value}; change it`, {
    name,
    value,
  });
}
