// Alternating measurements of long-lived programs, and statistics on their ratios.
import { spawn } from "node:child_process";
import { cpus } from "node:os";
import { createInterface } from "node:readline";

/**
 * A program that answers each line on stdin (`prefill 512`, `decode 64`) with one line of JSON `{"seconds": s}`.
 * Its first line says that it is ready.
 */
export async function startProgram(command, options, environment = {}) {
  const child = spawn(command, options, {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...environment },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${command} ${options.join(" ")} ended with code ${child.exitCode}`);
    return JSON.parse(value);
  };
  await next();
  return {
    async measure(line) {
      child.stdin.write(`${line}\n`);
      return (await next()).seconds;
    },
    stop: () => child.stdin.end(),
  };
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Distribution-free interval of a median: the order statistics whose coverage (binomial, p = 1/2) is at least 95 %,
 * or the whole range where there are too few values.
 */
export function medianInterval(values) {
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
  return [sorted[Math.max(drop - 1, 0)], sorted[n - 1 - Math.max(drop - 1, 0)]];
}

/** Alternates two programs, A B A B, on one line; gives seconds of each and the ratio B / A pair by pair. */
export async function comparePairs(a, b, line, pairs) {
  await a.measure(line);
  await b.measure(line);
  const seconds = { a: [], b: [] };
  for (let i = 0; i < pairs; i++) {
    seconds.a.push(await a.measure(line));
    seconds.b.push(await b.measure(line));
  }
  const speedup = seconds.a.map((value, i) => seconds.b[i] / value);
  return { a: median(seconds.a), b: median(seconds.b), speedup: median(speedup), interval: medianInterval(speedup) };
}

export function machine() {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version };
}
