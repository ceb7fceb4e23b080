/** Middle of the sorted values, the mean of both where there are two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Distribution-free interval of a median: the order statistics whose coverage (binomial, p = 1/2) is at least 95 %,
 * or the whole range where there are too few values.
 */
export function medianInterval(values: readonly number[]): [number, number] {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  let tail = 0;
  let ways = 1;
  let drop = 0;
  for (let k = 0; k < n / 2; k++) {
    tail += ways / 2 ** n;
    if (2 * tail > 0.05) break;
    drop = k + 1;
    ways = (ways * (n - k)) / (k + 1);
  }
  return [sorted[Math.max(drop - 1, 0)]!, sorted[n - 1 - Math.max(drop - 1, 0)]!];
}

/** Something whose speed can be measured, here or in another process; answers lines such as `prefill 512` with seconds. */
export interface Measured {
  measure(line: string): Promise<number>;
}

/** Medians of two programs in seconds, and how many times faster the first is, pair by pair. */
export interface Comparison {
  readonly a: number;
  readonly b: number;
  readonly speedup: number;
  readonly interval: readonly [number, number];
}

/** Alternates two programs, A B A B, on one line, each once before that to warm up. */
export async function comparePairs(a: Measured, b: Measured, line: string, pairs: number): Promise<Comparison> {
  await a.measure(line);
  await b.measure(line);
  const seconds = { a: [] as number[], b: [] as number[] };
  for (let i = 0; i < pairs; i++) {
    seconds.a.push(await a.measure(line));
    seconds.b.push(await b.measure(line));
  }
  const speedup = seconds.a.map((value, i) => seconds.b[i]! / value);
  return { a: median(seconds.a), b: median(seconds.b), speedup: median(speedup), interval: medianInterval(speedup) };
}
