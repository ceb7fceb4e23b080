import { partStart } from "./partition.as";

/** Copies bytes. Arguments: to, from, count. */
export function copyBytes(args: usize, thread: i32, threads: i32): void {
  const to = <usize>load<u32>(args);
  const from = <usize>load<u32>(args, 4);
  const count = load<i32>(args, 8);
  const start = partStart(count, thread, threads);
  memory.copy(to + start, from + start, partStart(count, thread + 1, threads) - start);
}
