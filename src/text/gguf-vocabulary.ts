import { TokenizerError } from "../tensor/errors.ts";

/** Metadata of a GGUF file, as far as it concerns tokenizers. */
export type TokenizerFields = ReadonlyMap<string, { readonly value: unknown }>;

/** Kinds of tokens in `tokenizer.ggml.token_type`. */
export const tokenKinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** What both kinds of vocabularies are made of. */
export interface Vocabulary {
  readonly tokens: readonly string[];
  readonly kinds: ArrayLike<number>;
  /** Ids by token, without those that pad the vocabulary. */
  readonly ids: Readonly<Record<string, number>>;
  /** Tokens that are found in text before anything else is done to it. */
  readonly added: readonly Readonly<Record<string, unknown>>[];
}

/** Special tokens by the names of `tokenizer_config.json`, with the names that GGUF has for them. */
export const specialTokens = [
  ["bos_token", "tokenizer.ggml.bos_token_id"],
  ["eos_token", "tokenizer.ggml.eos_token_id"],
  ["unk_token", "tokenizer.ggml.unknown_token_id"],
  ["pad_token", "tokenizer.ggml.padding_token_id"],
] as const;

/**
 * Tokens and their kinds.
 *
 * @throws TokenizerError if there are none or their kinds are damaged
 */
export function readVocabulary(fields: TokenizerFields): Vocabulary {
  const tokens = fields.get("tokenizer.ggml.tokens")?.value;
  if (!isTexts(tokens))
    throw wrong("tokenizer.ggml.tokens", "must be a list of texts", typeof tokens, "fetch the file again");
  const kinds = fields.get("tokenizer.ggml.token_type")?.value ?? new Int32Array(tokens.length).fill(tokenKinds.normal);
  if (!(kinds instanceof Int32Array) || kinds.length < tokens.length) {
    throw wrong("tokenizer.ggml.token_type", `must have ${tokens.length} numbers`, "others", "fetch the file again");
  }
  const ids: [string, number][] = [];
  const added: Record<string, unknown>[] = [];
  tokens.forEach((content, id) => {
    if (kinds[id] === tokenKinds.unused && content === `[PAD${id}]`) return;
    ids.push([content, id]);
    const special = kinds[id] === tokenKinds.control;
    if (!special && kinds[id] !== tokenKinds.userDefined) return;
    added.push({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special });
  });
  return { tokens, kinds, ids: Object.fromEntries(ids), added };
}

/** Whether a value is a list of texts. */
export function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** An error about a key of the metadata. */
export function wrong(key: string, must: string, came: unknown, todo: string): TokenizerError {
  return new TokenizerError(`GGUF tokenizer: ${key} ${must}; got ${String(came)}; ${todo}`, { key });
}

/** A value as an object; an empty one for anything else. */
export function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
