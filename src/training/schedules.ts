import { ConfigError } from "../tensor/errors.ts";

/** Learning rate by step, counted from 0. */
export type Schedule = (step: number) => number;

/** Options that all schedules share. */
export interface ScheduleOptions {
  /** Largest learning rate. */
  readonly peak: number;
  /** Steps over which the rate rises linearly from peak / warmup; default 0. */
  readonly warmup?: number;
  /** Step at which the decay ends. */
  readonly steps: number;
  /** Rate at the end; default 0. */
  readonly end?: number;
}

/**
 * Linear warm-up, then half a cosine from `peak` to `end`.
 *
 *     rate(s) = min(1, (s + 1) / warmup) (end + (peak - end) (1 + cos(pi max(0, s - warmup) / (steps - warmup))) / 2)
 *
 * @see Loshchilov & Hutter 2017, "SGDR", equation 5; the warm-up of Gu & Dao 2023, appendix E.2
 */
export function cosineSchedule(options: ScheduleOptions): Schedule {
  return decaying(options, (done) => (1 + Math.cos(Math.PI * done)) / 2);
}

/** Linear warm-up, then a straight line from `peak` to `end`. */
export function linearSchedule(options: ScheduleOptions): Schedule {
  return decaying(options, (done) => 1 - done);
}

/** Linear warm-up, then `peak` for ever. */
export function constantSchedule(options: Pick<ScheduleOptions, "peak" | "warmup">): Schedule {
  const { peak, warmup = 0 } = options;
  check({ peak, warmup, steps: warmup + 1 });
  return (step) => peak * risen(step, warmup);
}

function risen(step: number, warmup: number): number {
  return warmup > 0 ? Math.min(1, (step + 1) / warmup) : 1;
}

function decaying(options: ScheduleOptions, shape: (done: number) => number): Schedule {
  const { peak, warmup = 0, steps, end = 0 } = options;
  check({ peak, warmup, steps, end });
  return (step) => {
    const done = Math.min(1, Math.max(0, step - warmup) / Math.max(1, steps - warmup));
    return risen(step, warmup) * (end + (peak - end) * shape(done));
  };
}

function check({ peak, warmup = 0, steps, end = 0 }: ScheduleOptions): void {
  const wrong = (name: string, must: string, value: number): ConfigError =>
    new ConfigError(`schedule: ${name} must be ${must}; got ${value}; change it`, { name, value });
  if (!(peak > 0 && Number.isFinite(peak))) throw wrong("peak", "a positive number", peak);
  if (!(end >= 0 && end <= peak)) throw wrong("end", "from 0 to peak", end);
  if (!(Number.isSafeInteger(warmup) && warmup >= 0)) throw wrong("warmup", "a whole number from 0", warmup);
  if (!(Number.isSafeInteger(steps) && steps > warmup)) throw wrong("steps", "a whole number above warmup", steps);
}
