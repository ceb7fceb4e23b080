import { ABORT, BARRIER_COUNT, BARRIER_PHASE, BARRIER_SLEEPERS, SPIN } from "./control.as";

// a sleeping thread looks now and then whether another has died
const WAIT_NANOSECONDS: i64 = 200_000_000;

/** Waits until all threads are here: a short spin, then sleep, so that a busy machine is not made busier. */
export function barrier(threads: i32): void {
  if (threads == 1) return;
  const phase = atomic.load<i32>(BARRIER_PHASE);
  if (atomic.add<i32>(BARRIER_COUNT, 1) == threads - 1) {
    atomic.store<i32>(BARRIER_COUNT, 0);
    atomic.add<i32>(BARRIER_PHASE, 1);
    if (atomic.load<i32>(BARRIER_SLEEPERS) != 0) atomic.notify(BARRIER_PHASE, -1);
    return;
  }
  for (let spin = load<i32>(SPIN); spin > 0; spin--) {
    if (atomic.load<i32>(BARRIER_PHASE) != phase) return;
  }
  atomic.add<i32>(BARRIER_SLEEPERS, 1);
  while (atomic.load<i32>(BARRIER_PHASE) == phase) {
    if (atomic.load<i32>(ABORT) != 0) unreachable();
    atomic.wait<i32>(BARRIER_PHASE, phase, WAIT_NANOSECONDS);
  }
  atomic.sub<i32>(BARRIER_SLEEPERS, 1);
}
