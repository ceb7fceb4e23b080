import type { RecurrentState } from "../models/index.ts";
import type { StreamDecoder } from "../text/index.ts";
import type { FinishReason, GenerationEngine, GenerationRequest, SequenceEvent, TokenLogprob } from "./generate.ts";
import { extractRow, type GenerationFacts, GenerationState, MAX_RECENT_IDS } from "./generation-state.ts";
import type { ResolvedGenerationOptions } from "./options.ts";
import { createSampler, type Sampled, type Sampler } from "./sampler.ts";
import { StopMatcher } from "./stop.ts";

/** One sequence in progress: its sampler, its text, and its end. */
export class Sequence {
  readonly tokens: number[] = [];
  readonly promptTokens: number;
  readonly #options: ResolvedGenerationOptions;
  readonly #sampler: Sampler;
  readonly #decoder: StreamDecoder;
  readonly #stop: StopMatcher;
  readonly #recent: number[];
  readonly #stopIds: ReadonlySet<number>;
  readonly #stream: number;
  #position: number;
  #lastLogits: Float32Array;
  #finishReason: FinishReason | undefined;
  #pending: number | undefined;

  constructor(
    engine: GenerationEngine,
    request: GenerationRequest,
    options: ResolvedGenerationOptions,
    stream: number,
    logits: Float32Array,
  ) {
    const before = request.state?.facts;
    this.#options = options;
    this.#stream = before?.samplerStream ?? stream;
    this.#position = (request.state?.position ?? 0) + promptOf(request).length;
    this.#stopIds = new Set(options.stopTokenIds);
    this.#sampler = createSampler(options, {
      vocabSize: engine.model.vocabSize,
      counter: before?.samplerCounter ?? 0,
      stream: this.#stream,
    });
    this.#decoder = engine.tokenizer.stream();
    if (before && request.ids.length === 0) this.#decoder.restore(before.decoder);
    this.#stop = new StopMatcher(options.stop);
    this.#recent = [...(before?.recentIds ?? []), ...request.ids].slice(-MAX_RECENT_IDS);
    this.promptTokens = request.ids.length;
    this.#lastLogits = logits;
    if (options.maxNewTokens === 0) this.#finishReason = "length";
  }

  /** Tokens that the model has seen of this row. */
  get position(): number {
    return this.#position;
  }

  get finishReason(): FinishReason | undefined {
    return this.#finishReason;
  }

  /** The id to feed next. */
  get pending(): number {
    return this.#pending ?? 0;
  }

  /** Samples from the latest logits; returns the text that is now certain. */
  advance(): { text: string; sampled: Sampled } {
    const sampled = this.#sampler.next(this.#lastLogits.slice(), this.#recent);
    return { text: this.take(sampled.id), sampled };
  }

  /** Takes a token that was chosen elsewhere; returns the text that is now certain. */
  take(id: number): string {
    this.#pending = id;
    this.tokens.push(id);
    this.#recent.push(id);
    if (this.#recent.length > MAX_RECENT_IDS) this.#recent.shift();
    if (this.#stopIds.has(id)) {
      this.#finishReason = "stop-token";
      return this.#flush();
    }
    const { text, stopped } = this.#stop.push(this.#decoder.push(id));
    if (stopped) this.#finishReason = "stop-string";
    else if (this.tokens.length >= this.#options.maxNewTokens) this.#finishReason = "length";
    return this.#finishReason === "length" ? text + this.#stop.flush() : text;
  }

  /** Takes a token that was chosen on the device, with the random numbers of this sequence. */
  takeDrawn(id: number): string {
    this.#sampler.pass();
    return this.take(id);
  }

  /** Where the sequence is in its random numbers. */
  get place(): { stream: number; counter: number } {
    return { stream: this.#stream, counter: this.#sampler.counter };
  }

  #flush(): string {
    const { text, stopped } = this.#stop.push(this.#decoder.flush());
    return stopped ? text : text + this.#stop.flush();
  }

  /** Takes the logits after the id that was fed. */
  feed(logits: Float32Array): void {
    this.#lastLogits = logits;
    this.fed();
  }

  /** Notes that an id was fed whose logits stay on the device. */
  fed(): void {
    this.#position += 1;
  }

  /** Tokens that may come at most. */
  get left(): number {
    return this.#finishReason ? 0 : this.#options.maxNewTokens - this.tokens.length;
  }

  facts(): GenerationFacts {
    return {
      pendingId: this.#pending,
      samplerCounter: this.#sampler.counter,
      samplerStream: this.#stream,
      recentIds: this.#recent,
      decoder: this.#decoder.snapshot(),
      lastLogits: this.#pending === undefined ? this.#lastLogits : undefined,
    };
  }
}

/** The ids to run before the first new one: what was sampled but not fed, and the prompt. */
export function promptOf({ ids, state }: GenerationRequest): readonly number[] {
  const pending = state?.facts.pendingId;
  return pending === undefined ? ids : [pending, ...ids];
}

/** The next token of a sequence, from its latest logits. */
export function nextEvent(sequence: Sequence, row: number): SequenceEvent {
  const { text, sampled } = sequence.advance();
  const logprobs = sampled.logprob === undefined ? undefined : [logprobOf(sampled)];
  return { row, chunk: { text, tokens: [sampled.id], ...(logprobs ? { logprobs } : {}) } };
}

function logprobOf({ id, logprob, top }: Sampled): TokenLogprob {
  return { id, logprob: logprob!, top: top ?? [] };
}

/** The end of a sequence, with a state of its own: that of its row. */
export function lastEvent(
  engine: GenerationEngine,
  sequence: Sequence,
  state: RecurrentState,
  row: number,
): SequenceEvent {
  const { model, identity } = engine;
  const names = model.stateShapes().map(({ name }) => name);
  const own = extractRow(model, state, row, sequence.position);
  const chunk = {
    text: "",
    tokens: [],
    finishReason: sequence.finishReason!,
    usage: { promptTokens: sequence.promptTokens, completionTokens: sequence.tokens.length },
    state: new GenerationState(own, names, identity, sequence.facts()),
  };
  return { row, chunk };
}
