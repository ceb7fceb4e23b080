import type { TrainingMetrics } from "../../training/index.ts";
import { sparkline } from "../../training/plot.ts";
import { formatBytes } from "../progress.ts";
import type { Terminal } from "../terminal.ts";

const REDRAW_MS = 100;
const SPARKLINE_WIDTH = 16;

/** Seconds as a person reads them: 42 s, 3:07, 2:05:00. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** One line about the step just taken, as wide as the terminal at most. */
export function renderTraining(
  metrics: TrainingMetrics,
  losses: readonly number[],
  steps: number,
  secondsLeft: number,
  columns: number,
): string {
  const { step, loss, learningRate, gradNorm, tokensPerSecond, memory } = metrics;
  const line = [
    `${step}/${steps}`,
    `loss ${loss.toFixed(4)} ${sparkline(losses, SPARKLINE_WIDTH)}`,
    `lr ${learningRate.toExponential(1)}`,
    `norm ${gradNorm.toPrecision(2)}`,
    `${formatCount(tokensPerSecond)} tok/s`,
    formatBytes(memory),
    `${formatDuration(secondsLeft)} left`,
  ].join("  ");
  return line.slice(0, Math.max(1, columns - 1));
}

function formatCount(value: number): string {
  return value >= 1e4 ? `${(value / 1e3).toFixed(0)}k` : value.toFixed(0);
}

/** Live progress of training on standard error; nothing where no person sees it. */
export class TrainingProgress {
  readonly #terminal: Terminal;
  readonly #steps: number;
  readonly #losses: number[];
  readonly #startedAt = performance.now();
  #taken = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #visible = false;

  /** @param losses - of the steps before this run, when it goes on from another */
  constructor(terminal: Terminal, steps: number, losses: readonly number[] = []) {
    this.#terminal = terminal;
    this.#steps = steps;
    this.#losses = [...losses];
  }

  /** Shows a step, at most ten times a second. */
  update(metrics: TrainingMetrics): void {
    this.#losses.push(metrics.loss);
    this.#taken++;
    const now = performance.now();
    if (!this.#terminal.errorIsTerminal || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#visible = true;
    const perStep = (now - this.#startedAt) / 1000 / this.#taken;
    const left = perStep * (this.#steps - metrics.step);
    const line = renderTraining(metrics, this.#losses, this.#steps, left, this.#terminal.columns);
    this.#terminal.writeError(`\r\u001b[K${line}`);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#visible) this.#terminal.writeError("\r\u001b[K");
    this.#visible = false;
  }
}
