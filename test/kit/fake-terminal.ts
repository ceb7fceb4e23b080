import type { Terminal } from "../../src/cli/terminal.ts";

/** A terminal that keeps what is written to it. */
export interface FakeTerminal extends Terminal {
  output: string;
  errors: string;
  /** As Ctrl-C does. */
  interrupt(reason?: Terminal["interrupted"]): void;
}

/** Makes a terminal for a test; nobody watches it unless `watched` is set. */
export function fakeTerminal({ input = "", watched = false } = {}): FakeTerminal {
  const controller = new AbortController();
  let interrupted: Terminal["interrupted"];
  return {
    output: "",
    errors: "",
    async write(text) {
      this.output += text;
    },
    writeError(text) {
      this.errors += text;
    },
    readInput: async () => input,
    outputIsTerminal: watched,
    errorIsTerminal: watched,
    columns: 80,
    signal: controller.signal,
    get interrupted() {
      return interrupted;
    },
    debug: false,
    interrupt(reason = "signal") {
      interrupted = reason;
      controller.abort();
    },
  };
}
