import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { TokenizerError } from "../tensor/errors.ts";
import { renderChat, templateOf } from "./chat-template.ts";
import { ByteStreamDecoder, type TokenBytes, WindowStreamDecoder } from "./stream-decoder.ts";
import type {
  ChatMessage,
  ChatTemplateOptions,
  DecodeOptions,
  EncodeOptions,
  StreamDecoder,
  Tokenizer,
} from "./tokenizer.ts";

type Json = Readonly<Record<string, unknown>>;

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * A tokenizer of a `tokenizer.json`, as Hugging Face's library for Python and Rust would do it.
 *
 * @param json - the parsed file
 * @param config - the parsed `tokenizer_config.json`: special tokens and chat template
 * @throws TokenizerError if the file is not a tokenizer
 */
export function loadTokenizer(json: unknown, config?: unknown): Tokenizer {
  const model = isRecord(json) ? json["model"] : undefined;
  if (!isRecord(json) || !isRecord(model)) {
    throw new TokenizerError(
      `tokenizer.json: must be an object with a model; got ${isRecord(json) ? "no model" : typeof json}; copy the file of the model again`,
      {},
    );
  }
  if (config !== undefined && !isRecord(config)) {
    throw new TokenizerError(`tokenizer_config.json: must be an object; got ${typeof config}; remove it or fix it`, {});
  }
  try {
    return new PretrainedTokenizer(json, config ?? {});
  } catch (cause) {
    if (cause instanceof TokenizerError) throw cause;
    throw new TokenizerError(
      `tokenizer.json: must be a tokenizer that can be built; building says ${String((cause as Error).message)}; copy the file of the model again`,
      {},
      { cause },
    );
  }
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

class PretrainedTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosTokenId?: number;
  readonly eosTokenId?: number;
  readonly padTokenId?: number;
  readonly #inner: HubTokenizer;
  readonly #template: string | undefined;
  readonly #specialTokens: Record<string, string | undefined>;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #bytesOf: TokenBytes | undefined;

  constructor(json: Json, config: Json) {
    this.#inner = new HubTokenizer(json, config);
    const added = (Array.isArray(json["added_tokens"]) ? json["added_tokens"] : []) as AddedToken[];
    this.#added = new Map(added.map((token) => [token.id, token]));
    this.vocabSize = sizeOf(this.#inner.get_vocab(true).values());
    this.#specialTokens = Object.fromEntries(
      ["bos_token", "eos_token", "pad_token", "unk_token"].map((name) => [name, contentOf(config[name])]),
    );
    this.bosTokenId = this.#idOf("bos_token");
    this.eosTokenId = this.#idOf("eos_token");
    this.padTokenId = this.#idOf("pad_token");
    this.#template = templateOf(config);
    this.#bytesOf = isByteLevel(json["decoder"]) ? this.#byteLevel() : undefined;
  }

  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    return this.#inner.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  }

  decode(ids: ArrayLike<number>, { skipSpecialTokens = true }: DecodeOptions = {}): string {
    const list = Array.from(ids);
    for (const id of list) this.#check(id);
    if (list.length === 0) return "";
    const options = { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false };
    return this.#inner.decode(list, options);
  }

  stream(): StreamDecoder {
    if (this.#bytesOf) return new ByteStreamDecoder(this.#bytesOf);
    return new WindowStreamDecoder({
      decode: (ids) => this.decode(ids),
      skips: (id) => this.#added.get(id)?.special === true,
      ...(this.#inner.token_to_id("<0x00>") === undefined ? {} : { byteOf: (id) => this.#fallbackByte(id) }),
    });
  }

  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return renderChat(this.#template, messages, options.addGenerationPrompt ?? true, this.#specialTokens);
  }

  #idOf(name: string): number | undefined {
    const content = this.#specialTokens[name];
    return content === undefined ? undefined : this.#inner.token_to_id(content);
  }

  /** Models may have more rows than the tokenizer has tokens; those decode to nothing. */
  #check(id: number): void {
    if (Number.isInteger(id) && id >= 0) return;
    throw new TokenizerError(`decode: ids must be whole numbers from 0; got ${id}; pass what the model gave`, { id });
  }

  /** The byte of a token such as `<0xE2>`. */
  #fallbackByte(id: number): number | undefined {
    const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(this.#inner.id_to_token(id) ?? "")?.[1];
    return hex === undefined ? undefined : Number.parseInt(hex, 16);
  }

  #byteLevel(): TokenBytes {
    const byteOf = byteLevelAlphabet();
    return (id) => {
      this.#check(id);
      const added = this.#added.get(id);
      if (added) return added.special ? undefined : added.content;
      const token = this.#inner.id_to_token(id);
      return token === undefined
        ? undefined
        : Array.from(token as string, (character) => byteOf.get(character) ?? 0x20);
    };
  }
}

/** One more than the largest id. */
function sizeOf(ids: Iterable<number>): number {
  let size = 0;
  for (const id of ids) size = Math.max(size, id + 1);
  return size;
}

function contentOf(token: unknown): string | undefined {
  if (typeof token === "string") return token;
  return isRecord(token) && typeof token["content"] === "string" ? token["content"] : undefined;
}

function isByteLevel(decoder: unknown): boolean {
  return isRecord(decoder) && decoder["type"] === "ByteLevel";
}

/**
 * Bytes by the characters that stand for them in a byte-level vocabulary: printable ones for themselves, the others in
 * order for the code points from 256.
 *
 * @see Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.2 and its released code
 */
function byteLevelAlphabet(): ReadonlyMap<string, number> {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  const alphabet = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    alphabet.set(String.fromCodePoint(printable(byte) ? byte : next++), byte);
  }
  return alphabet;
}
