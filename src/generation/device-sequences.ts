import type { LanguageModel, RecurrentState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { tensor } from "../tensor/tensor.ts";
import { canStepOnDevice, DeviceSteps, MOST_STEPS } from "./device-steps.ts";
import type { GenerationEngine, SequenceEvent } from "./generate.ts";
import type { ResolvedGenerationOptions } from "./options.ts";
import { step } from "./prefill.ts";
import { lastEvent, nextEvent, type Sequence } from "./sequence.ts";

/** How long the steps of one chunk should take in milliseconds: text that is shown comes in pieces of this. */
const CHUNK_MILLISECONDS = 25;

/** Whether tokens can be chosen on the device: nothing changes logits before or tells of them afterwards. */
export function isChosenOnDevice({ model, device }: GenerationEngine, options: ResolvedGenerationOptions): boolean {
  return (
    options.repetitionPenalty === 1 &&
    options.logitBias.size === 0 &&
    options.logprobs === undefined &&
    options.processLogits === undefined &&
    canStepOnDevice(model, device)
  );
}

/** Steps that are under way, and what it takes to go through them again. */
interface Chunk {
  readonly count: number;
  readonly ids: Promise<Int32Array>;
  /** The state before the first step. */
  readonly before: RecurrentState;
}

/**
 * Goes on with sequences whose first token is chosen. Two chunks of steps are under way, so that the device has work while the host
 * looks at ids. Where a sequence ends inside a chunk, the steps up to its end are taken again from the state before the chunk: with the same
 * kernels, so that the state that is given out is the same to the bit.
 *
 * @param state - before the pending ids; taken over
 */
export async function* deviceSequences(
  engine: GenerationEngine,
  sequences: readonly Sequence[],
  state: RecurrentState,
  options: ResolvedGenerationOptions,
  turn: () => Promise<void>,
): AsyncGenerator<SequenceEvent, void, void> {
  const { model, device } = engine;
  let fed = Int32Array.from(sequences, ({ pending }) => pending);
  const places = sequences.map(({ place }) => place);
  const draws = options.temperature > 0 ? { options, places } : undefined;
  const steps = new DeviceSteps(model, device, state, fed, draws);
  const left = (): number => Math.max(...sequences.map((sequence) => sequence.left));
  const pace = new Pace();
  const chunks: Chunk[] = [];
  let enqueued = 0;
  const enqueue = (): void => {
    const count = Math.min(pace.count, left() - enqueued);
    if (count <= 0) return;
    const before = steps.snapshot();
    const ids = steps.run(count);
    // whoever stops early does not wait for it
    ids.catch(() => {});
    chunks.push({ count, ids, before });
    enqueued += count;
  };
  try {
    while (left() > 0) {
      await turn();
      while (chunks.length < 2 && enqueued < left()) enqueue();
      const { count, ids, before } = chunks[0]!;
      const chosen = await ids;
      pace.took(count);
      const again = new Replay(model, device, before, fed, chosen);
      try {
        for (let i = 0; i < count; i++) yield* eventsOf(engine, sequences, again, i);
      } finally {
        again.dispose();
      }
      fed = again.idsBefore(count);
      enqueued -= count;
      chunks.shift();
    }
  } finally {
    for (const { before } of chunks) before.dispose();
    steps.dispose();
  }
}

/** What one step gives: a token a sequence, and states of those that end. */
async function* eventsOf(
  engine: GenerationEngine,
  sequences: readonly Sequence[],
  again: Replay,
  i: number,
): AsyncGenerator<SequenceEvent, void, void> {
  for (const [row, sequence] of sequences.entries()) {
    if (sequence.finishReason) continue;
    const id = again.id(i, row);
    if (id < 0) {
      // the host says what is wrong with the logits
      sequence.feed(await again.logits(i, row));
      yield nextEvent(sequence, row);
      continue;
    }
    sequence.fed();
    yield { row, chunk: { text: sequence.takeDrawn(id), tokens: [id] } };
    if (sequence.finishReason) yield lastEvent(engine, sequence, again.stateAfter(i), row);
  }
}

/** The steps of a chunk once more, as far as somebody asks. */
class Replay implements Disposable {
  readonly #model: LanguageModel;
  readonly #device: Device;
  readonly #fed: Int32Array;
  readonly #chosen: Int32Array;
  #state: RecurrentState;
  #done = 0;

  /** @param state - before the chunk; taken over */
  constructor(model: LanguageModel, device: Device, state: RecurrentState, fed: Int32Array, chosen: Int32Array) {
    this.#model = model;
    this.#device = device;
    this.#state = state;
    this.#fed = fed;
    this.#chosen = chosen;
  }

  /** What step `i` chose for a row; -1 if it could not. */
  id(i: number, row: number): number {
    return this.#chosen[i * this.#fed.length + row]!;
  }

  /** What step `i` is fed. */
  idsBefore(i: number): Int32Array<ArrayBuffer> {
    const batch = this.#fed.length;
    if (i === 0) return Int32Array.from(this.#fed);
    return this.#chosen.slice((i - 1) * batch, i * batch).map((id) => Math.max(id, 0)) as Int32Array<ArrayBuffer>;
  }

  /** The state after step `i`; not to be disposed. */
  stateAfter(i: number): RecurrentState {
    for (; this.#done <= i; this.#done++) {
      this.#state = scope(() => {
        const ids = tensor(this.idsBefore(this.#done), [this.#fed.length, 1], { device: this.#device });
        return this.#model.forward(ids, { state: this.#state, consume: true, logits: "none" }).state;
      });
    }
    return this.#state;
  }

  /** Logits of a row after step `i`. */
  async logits(i: number, row: number): Promise<Float32Array> {
    if (i > 0) this.stateAfter(i - 1);
    const own = this.#state.clone();
    const { logits, state } = await step(this.#model, this.#device, this.idsBefore(i), own);
    state.dispose();
    const width = logits.length / this.#fed.length;
    return logits.slice(row * width, (row + 1) * width);
  }

  dispose(): void {
    this.#state.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** How many steps a chunk should have: few at first, then what the device does in {@link CHUNK_MILLISECONDS}. */
class Pace {
  count = 1;
  #last = performance.now();

  /** A chunk of `steps` is done. */
  took(steps: number): void {
    const now = performance.now();
    const wanted = Math.floor((CHUNK_MILLISECONDS * steps) / Math.max(now - this.#last, 0.001));
    this.count = Math.max(1, Math.min(2 * this.count, wanted, MOST_STEPS / 2));
    this.#last = now;
  }
}
