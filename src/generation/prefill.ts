import type { LanguageModel, RecurrentState } from "../models/index.ts";
import { concat, slice } from "../ops/movement/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError, MambaError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { eventLoopTurns, turnLength } from "./turns.ts";

/** Logits of the last position [batch vocab] on the host, and the state behind them. */
export interface Prefilled {
  readonly logits: Float32Array;
  readonly state: RecurrentState;
}

/** Prompts of any lengths as one rectangle: short ones are padded on the left and marked with segment -1. */
export interface PaddedPrompts {
  readonly ids: Int32Array;
  /** Undefined if all prompts are equally long. */
  readonly segments: Int32Array | undefined;
  readonly length: number;
}

/** Aligns prompts at their ends, so that the last column is every row's last token. */
export function padPrompts(prompts: readonly ArrayLike<number>[]): PaddedPrompts {
  const length = Math.max(...prompts.map((prompt) => prompt.length));
  const ids = new Int32Array(prompts.length * length);
  const segments = new Int32Array(prompts.length * length).fill(-1);
  prompts.forEach((prompt, row) => {
    const start = row * length + length - prompt.length;
    for (let i = 0; i < prompt.length; i++) {
      ids[start + i] = prompt[i]!;
      segments[start + i] = 0;
    }
  });
  const padded = prompts.some((prompt) => prompt.length < length);
  return { ids, segments: padded ? segments : undefined, length };
}

/** Throws unless every id is one of the model's. */
export function checkIds(where: string, ids: ArrayLike<number>, vocabSize: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
    throw new MambaError(
      `${where}: ids must be integers from 0 to ${vocabSize - 1}; got ${id} at position ${i}; use the model's own tokenizer`,
      "ID_OUT_OF_RANGE",
      { id, position: i, vocabSize },
    );
  }
}

/**
 * Runs prompts through the model, chunk by chunk.
 *
 * @param state - what came before, one row per prompt; stays valid
 * @throws ConfigError if a prompt is empty
 * @throws AbortError between chunks, with everything freed
 */
export async function prefill(
  model: LanguageModel,
  device: Device,
  prompts: readonly ArrayLike<number>[],
  state: RecurrentState | undefined,
  signal: AbortSignal | undefined,
): Promise<Prefilled> {
  for (const prompt of prompts) {
    checkIds("prompt", prompt, model.vocabSize);
    if (prompt.length > 0) continue;
    throw new ConfigError(
      "prompt: must have at least one token; got none; pass some text, or ids with the model's first token",
      {},
    );
  }
  const { ids, segments, length } = padPrompts(prompts);
  const rows = prompts.length;
  const turn = eventLoopTurns(signal, "prefill");
  const chunkLength = turnLength(device);
  let current = state;
  try {
    for (let start = 0; ; start += chunkLength) {
      await turn();
      const end = Math.min(start + chunkLength, length);
      const last = end === length;
      const chunk = (from: Int32Array): Tensor =>
        tensor(columns(from, rows, length, start, end), [rows, end - start], { device });
      const result = scope(() =>
        model.forward(chunk(ids), {
          state: current,
          consume: current !== state,
          segmentIds: segments && chunk(segments),
          logits: last ? "last" : "none",
        }),
      );
      current = result.state;
      if (last) return { logits: await take(result.logits!), state: current };
      await settle(current);
    }
  } catch (error) {
    if (current !== state) current?.dispose();
    throw error;
  }
}

function columns(from: Int32Array, rows: number, length: number, start: number, end: number): Int32Array {
  const out = new Int32Array(rows * (end - start));
  for (let row = 0; row < rows; row++) {
    out.set(from.subarray(row * length + start, row * length + end), row * (end - start));
  }
  return out;
}

/** Waits until the device has computed a state. */
async function settle(state: RecurrentState): Promise<void> {
  const tensors = state.tensors();
  const corner = scope(() => slice(slice(tensors.at(-1)!, { axis: 0, end: 1 }), { axis: 1, end: 1 }));
  await corner.read().finally(() => corner.dispose());
}

/**
 * Feeds one token per row.
 *
 * @param state - consumed, whether this works or throws
 */
export async function step(
  model: LanguageModel,
  device: Device,
  ids: ArrayLike<number>,
  state: RecurrentState,
): Promise<Prefilled> {
  let current = state;
  try {
    const result = scope(() => {
      const input = tensor(Int32Array.from(ids), [ids.length, 1], { device });
      return model.forward(input, { state, consume: true });
    });
    current = result.state;
    return { logits: await take(result.logits!), state: current };
  } catch (error) {
    current.dispose();
    throw error;
  }
}

async function take(logits: Tensor): Promise<Float32Array> {
  const data = await logits.read().finally(() => logits.dispose());
  return data instanceof Float32Array ? data : Float32Array.from(data);
}

/** Stacks one-row states into a batch. */
export function stackStates(model: LanguageModel, states: readonly RecurrentState[]): RecurrentState {
  const first = states[0]!;
  const parts = states.map((state) => state.tensors());
  const tensors = scope(() =>
    first.tensors().map((_, i) =>
      concat(
        parts.map((part) => part[i]!),
        0,
      ),
    ),
  );
  return model.stateFrom(tensors, Math.max(...states.map((state) => state.position)));
}
