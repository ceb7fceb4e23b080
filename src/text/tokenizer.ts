/** One message of a conversation. */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, or what else the model's template knows. */
  readonly role: string;
  readonly content: string;
}

/** How text becomes ids. */
export interface EncodeOptions {
  /**
   * Add the special tokens that the tokenizer puts around a text; default true. A rendered chat template holds
   * them already.
   */
  readonly addSpecialTokens?: boolean;
}

/** How ids become text again. */
export interface DecodeOptions {
  /** Leave out tokens such as `<|endoftext|>`; default true. */
  readonly skipSpecialTokens?: boolean;
}

/** Options of {@link Tokenizer.applyChatTemplate}. */
export interface ChatTemplateOptions {
  /** End with what makes the model answer; default true. */
  readonly addGenerationPrompt?: boolean;
}

/** Text to ids and back. */
export interface Tokenizer {
  /** Number of ids that it knows. */
  readonly vocabSize: number;
  readonly bosTokenId?: number;
  readonly eosTokenId?: number;
  readonly padTokenId?: number;
  /** Ids of a text. */
  encode(text: string, options?: EncodeOptions): number[];
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** A decoder that takes one id at a time. */
  stream(): StreamDecoder;
  /**
   * A conversation as the text that the model was trained on.
   *
   * @throws TokenizerError if there is no template, or it refuses the messages
   */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
}

/**
 * Decodes one id at a time; never gives half a character. What it gives together is `decode` of all ids.
 */
export interface StreamDecoder {
  /** Text that is certain now; may be empty. */
  push(id: number): string;
  /** What was held back; then it is empty. */
  flush(): string;
  /** What is held back, as plain data. */
  snapshot(): StreamSnapshot;
  /** Goes on from a snapshot. */
  restore(snapshot: StreamSnapshot): void;
}

/** State of a {@link StreamDecoder}: bytes of a character that is not complete, or ids whose text may change. */
export interface StreamSnapshot {
  readonly held: readonly number[];
  /** How many of the held ids have been given out as text. */
  readonly given: number;
}
