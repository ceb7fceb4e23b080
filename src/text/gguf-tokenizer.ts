import { byteLevel, preTokenizerJson, preTokenizers } from "./gguf-pre-tokenizers.ts";
import { sentencePieceJson } from "./gguf-sentence-pieces.ts";
import {
  isTexts,
  readVocabulary,
  record,
  specialTokens,
  type TokenizerFields,
  type Vocabulary,
  wrong,
} from "./gguf-vocabulary.ts";

/** Contents of `tokenizer.json` and `tokenizer_config.json`. */
export interface TokenizerFiles {
  readonly tokenizer: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Whether a GGUF file holds a tokenizer. */
export function hasGgufTokenizer(fields: TokenizerFields): boolean {
  return fields.has("tokenizer.huggingface.json") || Array.isArray(fields.get("tokenizer.ggml.tokens")?.value);
}

/**
 * The tokenizer of a GGUF file as the files that {@link loadTokenizer} takes.
 *
 * `tokenizer.huggingface.json`, the original file, counts if it is there. Else byte-level BPE (`gpt2`) and SentencePiece's BPE
 * (`llama`) are built from the vocabulary. A file without `tokenizer.ggml.pre`, as llama.cpp wrote them before May 2024, is cut
 * as GPT-2 does it, which is right for the GPT-NeoX tokenizer of such Mamba models.
 *
 * @throws TokenizerError if the metadata is damaged, or of a kind or with a pre-tokenizer that is not known
 */
export function ggufTokenizer(fields: TokenizerFields): TokenizerFiles {
  const original = fields.get("tokenizer.huggingface.json")?.value;
  if (typeof original === "string") return readOriginal(fields, original);
  const { bos, config } = configOf(fields, fields.get("tokenizer.ggml.tokens")?.value);
  const model = fields.get("tokenizer.ggml.model")?.value;
  const vocabulary = readVocabulary(fields);
  if (model === "gpt2") return { tokenizer: bytePairJson(fields, vocabulary, bos), config };
  if (model === "llama") {
    const scores = fields.get("tokenizer.ggml.scores")?.value;
    const adds = flag(fields, "tokenizer.ggml.add_bos_token", true);
    const spaced = flag(fields, "tokenizer.ggml.add_space_prefix", true);
    return {
      tokenizer: { ...sentencePieceJson(vocabulary, scores, spaced), ...framed(adds ? bos : undefined) },
      config,
    };
  }
  throw wrong(
    "tokenizer.ggml.model",
    'must be "gpt2" or "llama"',
    model,
    "put a tokenizer.json of this model in a folder",
  );
}

function readOriginal(fields: TokenizerFields, text: string): TokenizerFiles {
  let tokenizer: TokenizerFiles["tokenizer"];
  try {
    tokenizer = record(JSON.parse(text));
  } catch (cause) {
    throw wrong(
      "tokenizer.huggingface.json",
      "must be JSON",
      (cause as Error).message.slice(0, 200),
      "fetch the file again",
    );
  }
  const contents: unknown[] = [];
  for (const [content, id] of Object.entries(record(record(tokenizer["model"])["vocab"])))
    contents[Number(id)] = content;
  const added = tokenizer["added_tokens"];
  for (const token of Array.isArray(added) ? added.map(record) : []) contents[Number(token["id"])] = token["content"];
  return { tokenizer, config: configOf(fields, contents).config };
}

function bytePairJson(fields: TokenizerFields, { ids, added }: Vocabulary, bos: Token | undefined) {
  const pre = fields.get("tokenizer.ggml.pre")?.value ?? "gpt-2";
  const preTokenizer = typeof pre === "string" && Object.hasOwn(preTokenizers, pre) ? preTokenizers[pre] : undefined;
  if (!preTokenizer) {
    const known = Object.keys(preTokenizers).join(", ");
    throw wrong(
      "tokenizer.ggml.pre",
      `must be one of ${known}`,
      pre,
      "put the tokenizer.json of this model in a folder",
    );
  }
  const adds = flag(fields, "tokenizer.ggml.add_bos_token", preTokenizer.addsBos === true);
  return {
    version: "1.0",
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: preTokenizerJson(preTokenizer),
    ...framed(adds ? bos : undefined),
    decoder: byteLevel(true),
    model: {
      type: "BPE",
      unk_token: null,
      byte_fallback: false,
      ignore_merges: preTokenizer.ignoreMerges === true,
      vocab: ids,
      merges: readMerges(fields),
    },
  };
}

interface Token {
  readonly id: number;
  readonly content: string;
}

/** A post-processor that puts a token in front of every text, if there is one. */
function framed(first: Token | undefined): { post_processor: unknown } {
  if (!first) return { post_processor: null };
  const { id, content } = first;
  const begin = { SpecialToken: { id: content, type_id: 0 } };
  const sequence = (name: string, type: number) => ({ Sequence: { id: name, type_id: type } });
  return {
    post_processor: {
      type: "TemplateProcessing",
      single: [begin, sequence("A", 0)],
      pair: [begin, sequence("A", 0), begin, sequence("B", 1)],
      special_tokens: { [content]: { id: content, ids: [id], tokens: [content] } },
    },
  };
}

function readMerges(fields: TokenizerFields): [string, string][] {
  const merges = fields.get("tokenizer.ggml.merges")?.value ?? [];
  if (!isTexts(merges))
    throw wrong("tokenizer.ggml.merges", "must be a list of texts", typeof merges, "fetch the file again");
  return merges.map((merge) => {
    // a token may be a space, so the first character does not count
    const at = merge.indexOf(" ", 1);
    if (at > 0) return [merge.slice(0, at), merge.slice(at + 1)];
    throw wrong(
      "tokenizer.ggml.merges",
      "must each be two tokens",
      JSON.stringify(merge.slice(0, 80)),
      "fetch the file again",
    );
  });
}

function configOf(
  fields: TokenizerFields,
  tokens: unknown,
): { bos: Token | undefined; config: Record<string, unknown> } {
  const config: Record<string, unknown> = { clean_up_tokenization_spaces: false };
  let bos: Token | undefined;
  for (const [name, key] of specialTokens) {
    const id = fields.get(key)?.value;
    const content: unknown = typeof id === "number" && Array.isArray(tokens) ? tokens[id] : undefined;
    if (typeof content !== "string") continue;
    config[name] = content;
    if (name === "bos_token") bos = { id: id as number, content };
  }
  const template = fields.get("tokenizer.chat_template")?.value;
  if (typeof template === "string") config["chat_template"] = template;
  return { bos, config };
}

function flag(fields: TokenizerFields, key: string, absent: boolean): boolean {
  const value = fields.get(key)?.value ?? absent;
  if (typeof value === "boolean") return value;
  throw wrong(key, "must be true or false", typeof value, "fetch the file again");
}
