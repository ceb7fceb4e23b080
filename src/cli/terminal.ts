/** What a verb sees of the world around it; tests stand one in. */
export interface Terminal {
  /** Writes to standard output; resolves when there is room for more. */
  write(text: string): Promise<void>;
  /** Writes to standard error, as it is. */
  writeError(text: string): void;
  /** All of standard input, as UTF-8. */
  readInput(): Promise<string>;
  /** Whether a person sees standard output. */
  readonly outputIsTerminal: boolean;
  /** Whether a person sees standard error. */
  readonly errorIsTerminal: boolean;
  /** Width of the terminal, in characters. */
  readonly columns: number;
  /** Fires on Ctrl-C, and when nobody reads standard output any more. */
  readonly signal: AbortSignal;
  /** Why {@link signal} fired. */
  readonly interrupted: "signal" | "closed output" | undefined;
  /** Show stacks of errors. */
  readonly debug: boolean;
}

/** The terminal of this process. Ctrl-C once asks to stop; twice stops at once. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr, env } = process;
  const controller = new AbortController();
  let interrupted: Terminal["interrupted"];
  const interrupt = (): void => {
    if (interrupted) process.exit(130);
    interrupted = "signal";
    controller.abort();
  };
  process.on("SIGINT", interrupt);
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    interrupted ??= "closed output";
    controller.abort();
  });
  stderr.on("error", () => {});
  return {
    write: (text) => writeOut(stdout, text, controller.signal),
    writeError: (text) => void stderr.write(text),
    async readInput() {
      const parts: Buffer[] = [];
      for await (const part of stdin) parts.push(part as Buffer);
      return Buffer.concat(parts).toString("utf8");
    },
    outputIsTerminal: stdout.isTTY === true,
    errorIsTerminal: stderr.isTTY === true,
    columns: stderr.columns ?? 80,
    signal: controller.signal,
    get interrupted() {
      return interrupted;
    },
    debug: Boolean(env["MAMBA_DEBUG"]),
  };
}

async function writeOut(stdout: NodeJS.WriteStream, text: string, signal: AbortSignal): Promise<void> {
  if (signal.aborted || stdout.write(text)) return;
  await new Promise<void>((resolve) => {
    stdout.once("drain", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/**
 * Lets signals and input through. Work on the calling thread only ever awaits values that are there already, and those
 * never leave room for the event loop.
 */
export function breathe(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
