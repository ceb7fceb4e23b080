import { barrier } from "./barrier.as";

/**
 * Walks a command list; every thread calls it with the same list.
 *
 * Command: [table index, words of the whole command, barrier before 0|1, label, ...arguments]; the list ends
 * with index -1 and with a barrier, so that nobody leaves before all are done.
 */
export function run(list: usize, thread: i32, threads: i32): void {
  for (let at = list; ; ) {
    const index = load<i32>(at);
    if (index < 0) break;
    if (load<i32>(at, 8) != 0) barrier(threads);
    call_indirect<void>(<u32>index, at + 16, thread, threads);
    at += <usize>load<i32>(at, 4) << 2;
  }
  barrier(threads);
}
