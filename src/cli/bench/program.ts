import { spawn } from "node:child_process";
import { cpus } from "node:os";
import { createInterface } from "node:readline";
import type { Measured } from "./statistics.ts";

/** A running program that measures. */
export interface MeasuringProgram extends Measured {
  /** The first line that it wrote. */
  readonly ready: Readonly<Record<string, unknown>>;
  readonly pid: number | undefined;
  stop(): void;
}

/**
 * Starts a program that answers each line on stdin (`prefill 512`, `decode 64`) with one line of JSON `{"seconds": s}`.
 * Its first line says that it is ready.
 *
 * @throws Error with what it wrote to standard error if it ends before it answers
 */
export async function startProgram(
  command: string,
  options: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<MeasuringProgram> {
  const child = spawn(command, options, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...environment } });
  let complaints = "";
  child.stderr.on("data", (text) => {
    complaints = (complaints + String(text)).slice(-2000);
  });
  let failed: Error | undefined;
  child.on("error", (error) => {
    failed = error;
  });
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> => {
    const { value, done } = await lines.next();
    if (!done) return JSON.parse(value) as Record<string, unknown>;
    throw new Error(`${command} ${options.join(" ")} ended: ${failed?.message ?? complaints.trim()}`);
  };
  const ready = await next();
  return {
    ready,
    pid: child.pid,
    async measure(line) {
      child.stdin.write(`${line}\n`);
      return (await next())["seconds"] as number;
    },
    stop: () => void child.stdin.end(),
  };
}

/** What the numbers were measured on. */
export function machine(): { cpu: string; cores: number; node: string } {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, node: process.version };
}
