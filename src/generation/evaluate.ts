import type { LanguageModel, RecurrentState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError, MambaError, throwIfAborted } from "../tensor/errors.ts";
import { tensor } from "../tensor/tensor.ts";

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
  /** Number of predictions. */
  readonly predictions: number;
  readonly windows: number;
}

/**
 * Mean cross-entropy of a model over a sequence: window w predicts ids[window w + 1 ... window w + window]
 * from ids[window w ...]; the last window may be short.
 *
 * @param ids - the whole sequence
 * @throws ConfigError if there are fewer than two ids or an option cannot be
 * @throws MambaError with code `NAN_LOSS` if a loss is not finite, naming the window
 */
export async function evaluateIds(
  model: LanguageModel,
  device: Device,
  ids: ArrayLike<number>,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const { window = 1024, carry = false } = options;
  const total = Math.min(ids.length - 1, options.limit ?? Number.POSITIVE_INFINITY);
  checkOptions(ids.length, window, total);
  const starts = Array.from({ length: Math.ceil(total / window) }, (_, w) => w * window);
  const batch = carry ? 1 : Math.max(1, options.batch ?? 4);
  let sum = 0;
  let done = 0;
  let state: RecurrentState | undefined;
  try {
    for (const group of groups(starts, batch, total, window)) {
      throwIfAborted(options.signal, "evaluate");
      const length = Math.min(window, total - group[0]!);
      const result = await groupLoss(model, device, ids, group, length, carry ? state : undefined);
      state?.dispose();
      state = carry ? result.state : void result.state.dispose();
      checkFinite(result.sum, group[0]! / window);
      sum += result.sum;
      done += length * group.length;
      options.progress?.({ done, total, loss: sum / done });
    }
  } finally {
    state?.dispose();
  }
  const loss = sum / done;
  return {
    loss,
    perplexity: Math.exp(loss),
    bitsPerToken: loss / Math.LN2,
    predictions: done,
    windows: starts.length,
  };
}

function checkOptions(length: number, window: number, total: number): void {
  if (length < 2 || total < 1) {
    throw new ConfigError(`evaluate: there must be at least 2 ids; got ${length}; pass more`, { length });
  }
  if (!Number.isSafeInteger(window) || window < 1) {
    throw new ConfigError(`evaluate: window must be a positive integer; got ${window}; leave it out for 1024`, {
      window,
    });
  }
}

/** Whole windows in groups of `batch`, and a short last window on its own. */
function* groups(starts: number[], batch: number, total: number, window: number): Generator<number[]> {
  const whole = starts.filter((start) => start + window <= total);
  for (let i = 0; i < whole.length; i += batch) yield whole.slice(i, i + batch);
  if (whole.length < starts.length) yield starts.slice(-1);
}

async function groupLoss(
  model: LanguageModel,
  device: Device,
  ids: ArrayLike<number>,
  starts: readonly number[],
  length: number,
  state: RecurrentState | undefined,
): Promise<{ sum: number; state: RecurrentState }> {
  const rows = (shift: number): Int32Array =>
    Int32Array.from({ length: starts.length * length }, (_, i) => {
      return ids[starts[Math.floor(i / length)]! + shift + (i % length)]!;
    });
  const shape = [starts.length, length];
  const input = tensor(rows(0), shape, { device });
  const target = tensor(rows(1), shape, { device });
  const result = model.losses(input, target, state ? { state } : {});
  input.dispose();
  target.dispose();
  result.valid.dispose();
  const losses = await result.losses.read();
  result.losses.dispose();
  let sum = 0;
  for (const loss of losses) sum += loss;
  return { sum, state: result.state };
}

function checkFinite(sum: number, window: number): void {
  if (Number.isFinite(sum)) return;
  throw new MambaError(
    `evaluate: losses must be finite; window ${window} gave ${sum}; check the weights for NaN with inspect`,
    "NAN_LOSS",
    { window },
  );
}
