import type { LanguageModel, RecurrentState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import type { Tokenizer } from "../text/index.ts";
import { deviceSequences, isChosenOnDevice } from "./device-sequences.ts";
import { checkState, type GenerationState, type ModelIdentity } from "./generation-state.ts";
import type { ResolvedGenerationOptions } from "./options.ts";
import { prefill, stackStates, step } from "./prefill.ts";
import { lastEvent, nextEvent, promptOf, Sequence } from "./sequence.ts";
import { eventLoopTurns } from "./turns.ts";

/** A model with everything that text generation needs around it. */
export interface GenerationEngine {
  readonly model: LanguageModel;
  readonly device: Device;
  readonly tokenizer: Tokenizer;
  readonly identity: () => Promise<ModelIdentity>;
}

/** Why a text ended: a stop token, a stop string, or the token budget. */
export type FinishReason = "stop-token" | "stop-string" | "length";

/** Log-probability of one generated token, natural logarithm, before penalties and temperature. */
export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
  /** The likeliest tokens at this place, best first. */
  readonly top: readonly { id: number; logprob: number }[];
}

/** Token counts of a run. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** A piece of a streamed text. */
export interface StreamChunk {
  /** New text; may be empty while a character or a possible stop string is held back. */
  readonly text: string;
  /** The new ids behind it; empty in the last chunk. */
  readonly tokens: readonly number[];
  readonly logprobs?: readonly TokenLogprob[];
  /** Only in the last chunk. */
  readonly finishReason?: FinishReason;
  /** Only in the last chunk. */
  readonly usage?: Usage;
  /** Only in the last chunk: where to go on. */
  readonly state?: GenerationState;
}

/** A finished text. */
export interface GenerationResult {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly logprobs?: readonly TokenLogprob[];
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  /** Pass it as `state` to go on exactly here. */
  readonly state: GenerationState;
}

/** One prompt and what came before it. */
export interface GenerationRequest {
  readonly ids: readonly number[];
  readonly state?: GenerationState;
}

/** What one step gave one sequence. */
export interface SequenceEvent {
  readonly row: number;
  readonly chunk: StreamChunk;
}

/**
 * Generates for any number of prompts at once; all rows share each read of the weights.
 *
 * Rows of different lengths are padded on the left with segments of -1, which change neither a row's state nor
 * its result. Leaving the iterator early frees everything but the states of chunks that were given out.
 *
 * @param requests - prompts, each with the state it goes on from
 * @throws AbortError when the signal fires, with everything freed
 */
export async function* generateSequences(
  engine: GenerationEngine,
  requests: readonly GenerationRequest[],
  options: ResolvedGenerationOptions,
): AsyncGenerator<SequenceEvent, void, void> {
  const { model, device } = engine;
  const started = await start(engine, requests, options);
  const turn = eventLoopTurns(options.signal, "generate");
  let { logits, state } = started;
  try {
    const sequences = requests.map((request, row) => {
      const first = rowOf(logits, row, requests.length);
      return new Sequence(engine, request, options, earlierEquals(requests, row), first);
    });
    for (const [row, sequence] of sequences.entries()) {
      if (sequence.finishReason) yield lastEvent(engine, sequence, state, row);
    }
    while (sequences.some(({ finishReason }) => !finishReason)) {
      await turn();
      for (const [row, sequence] of sequences.entries()) {
        if (sequence.finishReason) continue;
        yield nextEvent(sequence, row);
        if (sequence.finishReason) yield lastEvent(engine, sequence, state, row);
      }
      if (sequences.every(({ finishReason }) => finishReason)) return;
      if (isChosenOnDevice(engine, options)) {
        yield* deviceSequences(engine, sequences, state, options, turn);
        return;
      }
      const pending = sequences.map((sequence) => sequence.pending);
      ({ logits, state } = await step(model, device, pending, state));
      for (const [row, sequence] of sequences.entries()) {
        if (!sequence.finishReason) sequence.feed(rowOf(logits, row, requests.length));
      }
    }
  } finally {
    state.dispose();
  }
}

function rowOf(logits: Float32Array, row: number, rows: number): Float32Array {
  const width = logits.length / rows;
  return logits.slice(row * width, (row + 1) * width);
}

/**
 * How many rows before this one have the same prompt and state: the stream of its random numbers. So a prompt
 * gives in a batch what it gives alone, and a prompt that is repeated gives something else every time.
 */
function earlierEquals(requests: readonly GenerationRequest[], row: number): number {
  const { ids, state } = requests[row]!;
  const equal = (other: GenerationRequest): boolean =>
    other.state === state && other.ids.length === ids.length && other.ids.every((id, i) => id === ids[i]);
  return requests.slice(0, row).filter(equal).length;
}

async function start(
  { model, device, identity }: GenerationEngine,
  requests: readonly GenerationRequest[],
  options: ResolvedGenerationOptions,
): Promise<{ logits: Float32Array; state: RecurrentState }> {
  for (const { state } of requests) if (state) await checkState(state, device, identity);
  const prompts = requests.map(promptOf);
  const only = requests.length === 1 ? requests[0]! : undefined;
  if (only?.state?.facts.lastLogits && prompts[0]!.length === 0) {
    return { logits: only.state.facts.lastLogits, state: only.state.model.clone() };
  }
  const stacked = stackedState(model, requests);
  try {
    return await prefill(model, device, prompts, stacked, options.signal);
  } finally {
    stacked?.dispose();
  }
}

function stackedState(model: LanguageModel, requests: readonly GenerationRequest[]): RecurrentState | undefined {
  if (requests.every(({ state }) => !state)) return undefined;
  const empty = requests.some(({ state }) => !state) ? model.initialState(1) : undefined;
  try {
    return stackStates(
      model,
      requests.map(({ state }) => state?.model ?? empty!),
    );
  } finally {
    empty?.dispose();
  }
}
