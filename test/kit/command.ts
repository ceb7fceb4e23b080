import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const main = join(root, "dist/cli/main.js");

/** Test fixtures. */
export const fixtures = join(root, "test/fixtures");

/** What a command left behind. */
export interface Finished {
  readonly exitCode: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Starts the built command. */
export function start(...argv: string[]): ChildProcess {
  return spawn(process.execPath, [main, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
}

/** Waits for a command, gathering what it writes. */
export async function finish(child: ChildProcess): Promise<Finished> {
  let output = "";
  let errors = "";
  child.stdout!.setEncoding("utf8").on("data", (part: string) => (output += part));
  child.stderr!.setEncoding("utf8").on("data", (part: string) => (errors += part));
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { exitCode, output, errors };
}

/** Runs the built command. */
export const run = (...argv: string[]): Promise<Finished> => finish(start(...argv));

/** Runs with `--json`, expects it to end well and with one object, and gives that. */
export async function runJson(...argv: string[]): Promise<Record<string, unknown>> {
  const { exitCode, output, errors } = await run(...argv, "--json");
  expect({ exitCode, errors }).toEqual({ exitCode: 0, errors: "" });
  expect(output.trimEnd().split("\n")).toHaveLength(1);
  return JSON.parse(output) as Record<string, unknown>;
}

function modified(path: string): number {
  const facts = statSync(path, { throwIfNoEntry: false });
  return facts?.mtimeMs ?? 0;
}

function isBuilt(): boolean {
  const sources = readdirSync(join(root, "src"), { recursive: true }).map(String);
  const outputOf = (name: string): string => join(root, "dist", name.replace(/\.ts$/, ".js"));
  return sources
    .filter((name) => name.endsWith(".ts") && !/\.(test|as|bench|d)\.ts$/.test(name))
    .every((name) => modified(join(root, "src", name)) <= modified(outputOf(name)));
}

/** Does something while no other process on this machine does; a lock of a process that died counts for nothing. */
function alone(lock: string, action: () => void): void {
  const nap = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch {
      if (!isHeld(lock)) rmSync(lock, { force: true });
      else Atomics.wait(nap, 0, 0, 50);
    }
  }
  try {
    action();
  } finally {
    rmSync(lock, { force: true });
  }
}

function isHeld(lock: string): boolean {
  try {
    const owner = readFileSync(lock, "utf8");
    // its owner is about to write its number
    if (owner === "") return Date.now() - modified(lock) < 1000;
    process.kill(Number(owner), 0);
    return true;
  } catch {
    return false;
  }
}

/** Builds the command if a source is newer than it; test files that ask at the same time take turns. */
export function buildCommand(): void {
  const folder = join(root, ".cache");
  mkdirSync(folder, { recursive: true });
  alone(join(folder, "build.lock"), () => {
    if (!isBuilt()) execFileSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
  });
}
