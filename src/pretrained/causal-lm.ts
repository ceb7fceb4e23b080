import { type EvaluateOptions, type Evaluation, evaluateIds } from "../generation/evaluate.ts";
import {
  type GenerationEngine,
  type GenerationRequest,
  type GenerationResult,
  generateSequences,
  type StreamChunk,
} from "../generation/generate.ts";
import { type GenerationState, type ModelIdentity, readGenerationState } from "../generation/generation-state.ts";
import { type GenerationOptions, resolveGenerationOptions } from "../generation/options.ts";
import { checkIds } from "../generation/prefill.ts";
import type { MambaConfig, MambaLM, MambaState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError, DisposedError, ShapeError } from "../tensor/errors.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { ChatMessage, Tokenizer } from "../text/index.ts";
import { openPretrained, type PretrainedOptions, type PretrainedSource } from "./open-pretrained.ts";

/** A prompt: text, ids, or the messages of a chat. */
export type Prompt = string | readonly number[] | Int32Array | readonly ChatMessage[];

/** Host logits with their shape. */
export type HostLogits = Float32Array & { readonly shape: readonly number[] };

/** What a {@link CausalLM} is made of. */
export interface CausalLMParts {
  readonly model: MambaLM;
  readonly tokenizer: Tokenizer;
  /** Contents of `generation_config.json`, if any. */
  readonly generationConfig?: unknown;
  readonly identity: () => Promise<ModelIdentity>;
  readonly warnings?: readonly string[];
  /** Dispose the device with the model; set when the device was opened for it. */
  readonly ownsDevice?: boolean;
}

/**
 * A causal language model with its tokenizer: generation, evaluation and recurrent states.
 *
 * @example
 * ```ts
 * const lm = await CausalLM.fromPretrained("storybook-11m");
 * for await (const chunk of lm.stream("Once upon a time")) process.stdout.write(chunk.text);
 * lm.dispose();
 * ```
 */
export class CausalLM {
  readonly model: MambaLM;
  readonly tokenizer: Tokenizer;
  readonly device: Device;
  /** What was odd about the files, in words. */
  readonly warnings: readonly string[];
  readonly #parts: CausalLMParts;
  #disposed = false;

  constructor(parts: CausalLMParts) {
    this.model = parts.model;
    this.tokenizer = parts.tokenizer;
    this.device = parts.model.device;
    this.warnings = parts.warnings ?? [];
    this.#parts = parts;
  }

  /**
   * Opens a model: a folder or file, a name of a model hub, or a shipped model.
   *
   * @param source - `./folder`, `./folder/model.safetensors`, `org/name`, or `storybook-11m`
   * @param options - device, cache, progress and cancellation
   * @throws CheckpointError, ConfigError, TokenizerError, HubError, OutOfMemoryError, AbortError
   */
  static async fromPretrained(source: PretrainedSource, options: PretrainedOptions = {}): Promise<CausalLM> {
    return new CausalLM(await openPretrained(source, options));
  }

  get config(): MambaConfig {
    return this.model.config;
  }

  /**
   * Streams a completion. Leaving the loop early frees everything.
   *
   * @param prompt - text, ids or chat messages; may be empty where `options.state` goes on
   * @param options - see {@link GenerationOptions}
   */
  async *stream(prompt: Prompt, options: GenerationOptions = {}): AsyncGenerator<StreamChunk, void, void> {
    const resolved = this.#resolve(options);
    for await (const { chunk } of generateSequences(this.#engine(), [this.#request(prompt, options)], resolved))
      yield chunk;
  }

  /** Completes one prompt, or several at once; a list of strings gives a list of results. */
  generate(prompt: Prompt, options?: GenerationOptions): Promise<GenerationResult>;
  generate(prompt: readonly string[], options?: GenerationOptions): Promise<GenerationResult[]>;
  async generate(
    prompt: Prompt | readonly string[],
    options: GenerationOptions = {},
  ): Promise<GenerationResult | GenerationResult[]> {
    const many = Array.isArray(prompt) && prompt.length > 0 && prompt.every((item) => typeof item === "string");
    if (many && options.state) {
      throw new ConfigError(
        "generate: state must go with one prompt; got several prompts; go on from it with each prompt alone",
        { prompts: prompt.length },
      );
    }
    const prompts = many ? (prompt as readonly string[]) : [prompt as Prompt];
    const requests = prompts.map((item) => this.#request(item, options));
    const results = await this.#complete(requests, options);
    return many ? results : results[0]!;
  }

  async #complete(requests: GenerationRequest[], options: GenerationOptions): Promise<GenerationResult[]> {
    const drafts = requests.map(() => ({
      text: "",
      tokens: [] as number[],
      logprobs: [] as NonNullable<StreamChunk["logprobs"]>[number][],
      end: undefined as StreamChunk | undefined,
    }));
    const resolved = this.#resolve(options);
    try {
      for await (const { row, chunk } of generateSequences(this.#engine(), requests, resolved)) {
        const draft = drafts[row]!;
        draft.text += chunk.text;
        draft.tokens.push(...chunk.tokens);
        draft.logprobs.push(...(chunk.logprobs ?? []));
        if (chunk.finishReason) draft.end = chunk;
      }
    } catch (error) {
      // rows that had ended own a state already
      for (const { end } of drafts) end?.state?.dispose();
      throw error;
    }
    return drafts.map(({ text, tokens, logprobs, end }) => ({
      text,
      tokens,
      ...(options.logprobs === undefined ? {} : { logprobs }),
      finishReason: end!.finishReason!,
      usage: end!.usage!,
      state: end!.state!,
    }));
  }

  /**
   * Logits of ids on a state.
   *
   * @param ids - one sequence, or several of one length
   * @param options.state - what came before; stays valid unless `consume` is set
   * @returns logits on the host [batch length vocab], or [batch 1 vocab] for `last`; and the next state
   */
  async forward(
    ids: readonly number[] | Int32Array | readonly (readonly number[])[],
    options: { state?: MambaState; consume?: boolean; logits?: "last" | "all" } = {},
  ): Promise<{ logits: HostLogits; state: MambaState }> {
    this.#assertOpen();
    const input = this.#rectangle(ids);
    let result: ReturnType<MambaLM["forward"]>;
    try {
      result = this.model.forward(input, options);
    } finally {
      input.dispose();
    }
    const { logits, state } = result;
    try {
      const data = await logits!.read();
      const host = (data instanceof Float32Array ? data : Float32Array.from(data)) as Float32Array;
      return { logits: Object.assign(host, { shape: logits!.shape }), state };
    } catch (error) {
      state.dispose();
      throw error;
    } finally {
      logits!.dispose();
    }
  }

  /** Rows of ids as one tensor. */
  #rectangle(ids: readonly number[] | Int32Array | readonly (readonly number[])[]): Tensor {
    const rows = (Array.isArray(ids[0]) ? ids : [ids]) as readonly ArrayLike<number>[];
    const length = rows[0]!.length;
    for (const row of rows) {
      checkIds("forward", row, this.model.vocabSize);
      if (row.length === length) continue;
      throw new ShapeError(
        `forward: rows must be equally long; got ${length} and ${row.length}; use generate() for prompts of different lengths`,
        {},
      );
    }
    const flat = Int32Array.from(rows.flatMap((row) => Array.from(row)));
    return tensor(flat, [rows.length, length], { device: this.device });
  }

  /**
   * Mean cross-entropy of next-token predictions.
   *
   * @param data - ids, or text to tokenize
   */
  async evaluate(data: ArrayLike<number> | string, options: EvaluateOptions = {}): Promise<Evaluation> {
    this.#assertOpen();
    const ids = typeof data === "string" ? this.tokenizer.encode(data) : data;
    checkIds("evaluate", ids, this.model.vocabSize);
    return evaluateIds(this.model, this.device, ids, options);
  }

  /**
   * Reads a state saved by `state.serialize()`.
   *
   * @throws StateError if it is damaged or belongs to another model
   */
  async loadState(bytes: Uint8Array): Promise<GenerationState> {
    this.#assertOpen();
    return readGenerationState(bytes, this.model, this.device, this.#parts.identity);
  }

  #engine(): GenerationEngine {
    this.#assertOpen();
    return { model: this.model, device: this.device, tokenizer: this.tokenizer, identity: this.#parts.identity };
  }

  #resolve(options: GenerationOptions): ReturnType<typeof resolveGenerationOptions> {
    return resolveGenerationOptions(options, this.#parts.generationConfig, this.tokenizer);
  }

  #request(prompt: Prompt, options: GenerationOptions): GenerationRequest {
    const ids = this.#encode(prompt);
    const state = options.state;
    if (ids.length === 0 && !state) {
      throw new ConfigError(
        "generate: the prompt must not be empty; got no tokens; pass some text, or a state to go on from",
        {},
      );
    }
    return { ids, state };
  }

  #encode(prompt: Prompt): number[] {
    if (typeof prompt === "string") return prompt === "" ? [] : Array.from(this.tokenizer.encode(prompt));
    if (isMessages(prompt)) {
      const text = this.tokenizer.applyChatTemplate(prompt, { addGenerationPrompt: true });
      // the template has put in whatever special tokens the model wants
      return this.tokenizer.encode(text, { addSpecialTokens: false });
    }
    return Array.from(prompt as ArrayLike<number>);
  }

  #assertOpen(): void {
    if (!this.#disposed) return;
    throw new DisposedError("CausalLM: must not be used after dispose(); it was disposed; open it again", {});
  }

  /** Frees the weights, and the device if it was opened for this model. Idempotent. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.model.dispose();
    if (this.#parts.ownsDevice) this.device.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function isMessages(prompt: Prompt): prompt is readonly ChatMessage[] {
  return Array.isArray(prompt) && typeof prompt[0] === "object";
}
