/** First of `thread`'s items when `count` items are dealt in `threads` runs that differ by at most one item. */
// @ts-ignore: decorator
@inline
export function partStart(count: i32, thread: i32, threads: i32): i32 {
  return <i32>((<i64>count * thread) / threads);
}
