import type { LanguageModel, RecurrentState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError, MambaError } from "../tensor/errors.ts";
import { chunkForLogits, scoreRows } from "./score-rows.ts";
import { eventLoopTurns, turnLength } from "./turns.ts";

/** Options of {@link evaluateIds}. */
export interface EvaluateOptions {
  /** Predictions of a window; the state starts anew at every window. Default 1024. */
  readonly window?: number;
  /** Carry the state from window to window: one unbounded context. */
  readonly carry?: boolean;
  /** Stop after this many predictions. */
  readonly limit?: number;
  /** Windows that run side by side; default 4. Ignored when the state is carried. */
  readonly batch?: number;
  /** Count right predictions too; every logit comes to the host for it. Default false. */
  readonly accuracy?: boolean;
  readonly progress?: (event: { done: number; total: number; loss: number }) => void;
  readonly signal?: AbortSignal;
}

/** Mean quality of next-token predictions. */
export interface Evaluation {
  /** Mean cross-entropy in nats. */
  readonly loss: number;
  /** e^loss */
  readonly perplexity: number;
  /** loss / ln 2 */
  readonly bitsPerToken: number;
  /** Share of predictions whose largest logit is the target's, if asked for. */
  readonly accuracy?: number;
  /** Number of predictions. */
  readonly predictions: number;
  readonly windows: number;
}

/** What is measured, and how far it has come. */
interface Run {
  readonly model: LanguageModel;
  readonly device: Device;
  readonly ids: ArrayLike<number>;
  readonly accuracy: boolean;
  readonly turn: () => Promise<void>;
  state: RecurrentState | undefined;
  sum: number;
  correct: number;
  done: number;
}

/**
 * Mean cross-entropy of a model over a sequence: window w predicts ids[window w + 1 ... window w + window]
 * from ids[window w ...]; the last window may be short.
 *
 * @param ids - the whole sequence
 * @throws ConfigError if there are fewer than two ids or an option cannot be
 * @throws MambaError with code `NAN_LOSS` if a loss is not finite, naming the window
 * @throws AbortError between chunks of a window; whatever is thrown, everything is freed
 */
export async function evaluateIds(
  model: LanguageModel,
  device: Device,
  ids: ArrayLike<number>,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { window = 1024, carry = false, accuracy = false, batch = 4 } = options;
  checkOptions(ids.length, { window, batch, limit: options.limit ?? 1 });
  const total = Math.min(ids.length - 1, options.limit ?? Number.POSITIVE_INFINITY);
  const starts = Array.from({ length: Math.ceil(total / window) }, (_, w) => w * window);
  const turn = eventLoopTurns(options.signal, "evaluate");
  const run: Run = { model, device, ids, accuracy, turn, state: undefined, sum: 0, correct: 0, done: 0 };
  try {
    for (const group of groups(starts, carry ? 1 : batch, total, window)) {
      if (!carry) forget(run);
      await measureGroup(run, group, Math.min(window, total - group[0]!));
      checkFinite(run.sum, group[0]! / window);
      options.progress?.({ done: run.done, total, loss: run.sum / run.done });
    }
  } finally {
    forget(run);
  }
  return summary(run, starts.length);
}

function summary({ sum, done, correct, accuracy }: Run, windows: number): Evaluation {
  const loss = sum / done;
  return {
    loss,
    perplexity: Math.exp(loss),
    bitsPerToken: loss / Math.LN2,
    ...(accuracy ? { accuracy: correct / done } : {}),
    predictions: done,
    windows,
  };
}

function forget(run: Run): void {
  run.state?.dispose();
  run.state = undefined;
}

function checkOptions(length: number, counts: Readonly<Record<string, number>>): void {
  if (length < 2) {
    throw new ConfigError(`evaluate: there must be at least 2 ids; got ${length}; pass more`, { length });
  }
  for (const [option, actual] of Object.entries(counts)) {
    if (Number.isSafeInteger(actual) && actual >= 1) continue;
    throw new ConfigError(`evaluate: ${option} must be a positive integer; got ${actual}; change it or leave it out`, {
      option,
      actual,
    });
  }
}

/** Whole windows in groups of `batch`, and a short last window on its own. */
function* groups(starts: number[], batch: number, total: number, window: number): Generator<number[]> {
  const whole = starts.filter((start) => start + window <= total);
  for (let i = 0; i < whole.length; i += batch) yield whole.slice(i, i + batch);
  if (whole.length < starts.length) yield starts.slice(-1);
}

/** Takes windows that run side by side into the sums, chunk by chunk. */
async function measureGroup(run: Run, starts: readonly number[], length: number): Promise<void> {
  const { model, device, accuracy } = run;
  const chunk = Math.min(turnLength(device), accuracy ? chunkForLogits(starts.length, model.vocabSize) : length);
  for (let at = 0; at < length; at += chunk) {
    await run.turn();
    await measureChunk(
      run,
      starts.map((start) => start + at),
      Math.min(chunk, length - at),
    );
  }
}

async function measureChunk(run: Run, starts: readonly number[], length: number): Promise<void> {
  const columns = (shift: number): Int32Array =>
    Int32Array.from({ length: starts.length * length }, (_, i) => {
      return run.ids[starts[Math.floor(i / length)]! + shift + (i % length)]!;
    });
  const rows = { ids: columns(0), targets: columns(1), batch: starts.length, length };
  const before = run.state;
  run.state = undefined;
  const { lossSum, correct, scored, state } = await scoreRows(run.model, run.device, rows, before, run.accuracy);
  run.state = state;
  run.sum += lossSum;
  run.correct += correct;
  run.done += scored;
}

function checkFinite(sum: number, window: number): void {
  if (Number.isFinite(sum)) return;
  throw new MambaError(
    `evaluate: losses must be finite; window ${window} gave ${sum}; check the weights for NaN with inspect`,
    "NAN_LOSS",
    { window },
  );
}
