import type { Terminal } from "./terminal.ts";

const REDRAW_MS = 100;
const BAR_WIDTH = 24;

/** One line of progress as wide as the terminal at most: label, bar, percentage, note. */
export function renderProgress(label: string, done: number, total: number, note: string, columns: number): string {
  const share = total > 0 ? Math.min(1, Math.max(0, done / total)) : 0;
  const filled = Math.round(share * BAR_WIDTH);
  const bar = "#".repeat(filled) + ".".repeat(BAR_WIDTH - filled);
  const line = `${label} [${bar}] ${String(Math.floor(share * 100)).padStart(3)} % ${note}`.trimEnd();
  return line.slice(0, Math.max(1, columns - 1));
}

/** Progress on standard error, drawn over itself; nothing at all where no person sees it. */
export class Progress {
  readonly #terminal: Terminal;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #visible = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Shows how far something is, at most ten times a second. */
  update(label: string, done: number, total: number, note = ""): void {
    if (!this.#terminal.errorIsTerminal) return;
    const now = performance.now();
    if (now - this.#drawnAt < REDRAW_MS && done < total) return;
    this.#drawnAt = now;
    this.#visible = true;
    this.#terminal.writeError(`\r\u001b[K${renderProgress(label, done, total, note, this.#terminal.columns)}`);
  }

  /** A listener for downloads and loads. */
  readonly onBytes = (event: { phase: string; name: string; loadedBytes: number; totalBytes: number }): void => {
    const note = `${formatBytes(event.loadedBytes)} of ${formatBytes(event.totalBytes)}  ${event.name}`;
    this.update(event.phase, event.loadedBytes, event.totalBytes, note);
  };

  /** Takes the line away. */
  clear(): void {
    if (this.#visible) this.#terminal.writeError("\r\u001b[K");
    this.#visible = false;
  }
}

/** Bytes in the largest binary unit that leaves at least 1. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** step).toFixed(step === 0 ? 0 : 1)} ${units[step]}`;
}
