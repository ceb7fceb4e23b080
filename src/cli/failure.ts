import { CommanderError } from "commander";
import { AbortError, MambaError } from "../tensor/errors.ts";
import type { Terminal } from "./terminal.ts";

/** The command was given what it cannot take; exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** How a run ended other than well. */
export interface Failure {
  readonly exitCode: number;
  /** Stable, for programs. */
  readonly code: string;
  /** One line for people; empty where nothing is to be said. */
  readonly message: string;
}

/** What an error means for the exit code and for the last line on standard error. */
export function describeFailure(error: unknown, terminal: Pick<Terminal, "interrupted">): Failure {
  if (terminal.interrupted === "closed output") return { exitCode: 0, code: "CLOSED_OUTPUT", message: "" };
  if (error instanceof AbortError || terminal.interrupted) return { exitCode: 130, code: "ABORTED", message: "" };
  if (error instanceof UsageError) return { exitCode: 2, code: "USAGE", message: oneLine(error.message) };
  if (error instanceof CommanderError) return { exitCode: 2, code: "USAGE", message: commanderMessage(error) };
  if (error instanceof MambaError) return { exitCode: 1, code: error.code, message: oneLine(error.message) };
  const message = oneLine(error instanceof Error ? error.message : String(error));
  return { exitCode: 1, code: "UNEXPECTED", message: `unexpected: ${message}; set MAMBA_DEBUG=1 to see where` };
}

function commanderMessage(error: CommanderError): string {
  const message = oneLine(error.message.replace(/^error: /, ""));
  return message.replace(/\.$/, "");
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}
