import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addBench } from "./commands/bench.ts";
import { addConvert, addQuantize } from "./commands/convert.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEval } from "./commands/eval.ts";
import { addFinetune } from "./commands/finetune.ts";
import { addGenerate } from "./commands/generate.ts";
import { addInspect } from "./commands/inspect.ts";
import { addPull } from "./commands/pull.ts";
import { addState } from "./commands/state.ts";
import { addTrain } from "./commands/train.ts";
import { addVerify } from "./commands/verify.ts";
import { describeFailure, UsageError } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

/** What the verbs share. */
export interface Session {
  readonly terminal: Terminal;
  /** Writes the one JSON object of `--json`. */
  writeJson(value: unknown): Promise<void>;
  /** A verb that did its work sets 1 here if the answer is "no". */
  exitCode: number;
}

/** The `mamba` command with all its verbs. */
export function buildProgram(session: Session): Command {
  const { terminal } = session;
  const program = new Command("mamba")
    .description("Mamba language models: generate, train, evaluate, verify, inspect, convert")
    .version(packageVersion(), "-V, --version", "show the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.write(text),
      writeErr: () => {},
      getOutHelpWidth: () => terminal.columns,
    });
  const verbs = [addGenerate, addTrain, addFinetune, addEval, addVerify, addInspect, addConvert, addQuantize];
  for (const add of [...verbs, addBench, addState, addPull, addDoctor]) add(program, session);
  return program;
}

/**
 * Runs the `mamba` command.
 *
 * @param argv - arguments without interpreter and script
 * @returns the exit code: 0 done, 1 failed, 2 misuse, 130 interrupted
 */
export async function runCli(argv: readonly string[], terminal: Terminal): Promise<number> {
  const session: Session = {
    terminal,
    exitCode: 0,
    writeJson: (value) => terminal.write(`${JSON.stringify(value)}\n`),
  };
  const program = buildProgram(session);
  const verbs = program.commands.map((command) => command.name());
  // workers alone do not keep the process alive while it waits for them
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    if (argv.length === 0) throw new UsageError("name a verb");
    await program.parseAsync(argv as string[], { from: "user" });
    return terminal.interrupted ? reportFailure(undefined, argv, verbs, terminal) : session.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return reportFailure(error, argv, verbs, terminal);
  } finally {
    clearInterval(alive);
  }
}

async function reportFailure(
  error: unknown,
  argv: readonly string[],
  verbs: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const { exitCode, code, message } = describeFailure(error, terminal);
  if (exitCode === 0) return 0;
  const verb = verbs.includes(argv[0] ?? "") ? `mamba ${argv[0]}` : "mamba";
  const line = exitCode === 2 ? `${message}; see ${verb} --help` : message;
  if (line) terminal.writeError(`mamba: ${line}\n`);
  else if (terminal.errorIsTerminal) terminal.writeError("\n"); // the shell's prompt belongs on a line of its own
  if (terminal.debug && error instanceof Error) terminal.writeError(`${describeStack(error)}\n`);
  if (argv.includes("--json")) {
    await terminal.write(`${JSON.stringify({ error: { code, message: message || "interrupted" } })}\n`);
  }
  return exitCode;
}

function describeStack(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${describeStack(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
