// Layout of the control block; src/backends/wasm/control.ts mirrors it.

/** Threads that have arrived at the current barrier. */
export const BARRIER_COUNT: usize = 1024;
/** Counts barriers passed; threads sleep on it. */
export const BARRIER_PHASE: usize = 1088;
/** Threads asleep at the barrier. */
export const BARRIER_SLEEPERS: usize = 1092;
/** Not 0 once a thread has died: everybody else leaves too. */
export const ABORT: usize = 1096;
/** Loops before a waiting thread goes to sleep. */
export const SPIN: usize = 1100;
/** Not 0 where the relaxed dot product of bytes is exact for second factors from 0 to 255. */
export const DOT: usize = 1104;
/** First late error: its code (0: none), label of its command, and two facts. */
export const ERROR_CODE: usize = 1152;
export const ERROR_LABEL: usize = 1156;
export const ERROR_ACTUAL: usize = 1160;
export const ERROR_EXPECTED: usize = 1164;

/** An id is not below its bound. */
export const ID_OUT_OF_RANGE: i32 = 1;
/** A target is neither a class nor the one that is ignored. */
export const TARGET_OUT_OF_RANGE: i32 = 2;
/** A weight has values that are not finite, or too large for the type that it is packed in. */
export const NOT_REPRESENTABLE: i32 = 3;

/** Records the first late error of a list; `args` are those the kernel was called with. */
export function fail(code: i32, args: usize, actual: i32, expected: i32): void {
  if (atomic.cmpxchg<i32>(ERROR_CODE, 0, code) != 0) return;
  atomic.store<i32>(ERROR_LABEL, load<i32>(args - 4));
  atomic.store<i32>(ERROR_ACTUAL, actual);
  atomic.store<i32>(ERROR_EXPECTED, expected);
}
