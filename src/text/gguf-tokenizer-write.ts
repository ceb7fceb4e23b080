import { TokenizerError } from "../tensor/errors.ts";
import { preTokenizerJson, preTokenizerName, preTokenizers } from "./gguf-pre-tokenizers.ts";
import type { TokenizerFiles } from "./gguf-tokenizer.ts";
import { record, specialTokens, tokenKinds } from "./gguf-vocabulary.ts";

type Json = Readonly<Record<string, unknown>>;

/** A field of a GGUF file's metadata. */
export type TokenizerField =
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "uint32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "array"; readonly of: "string"; readonly value: readonly string[] }
  | { readonly type: "array"; readonly of: "int32"; readonly value: Int32Array };

/** A tokenizer as metadata of a GGUF file. */
export interface TokenizerMetadata {
  readonly fields: ReadonlyMap<string, TokenizerField>;
  /** What llama.cpp will do otherwise. */
  readonly warnings: readonly string[];
}

/**
 * A `tokenizer.json` as metadata of a GGUF file, as llama.cpp's converter writes it: the vocabulary filled up with unused tokens
 * to the rows of the embedding, merges, special tokens, chat template.
 *
 * What llama.cpp has no words for (Unicode normalization, other ways to cut text) is kept by adding the whole file as
 * `tokenizer.huggingface.json`. A tokenizer that is no byte-level BPE, or cuts text in a way that llama.cpp does not know, is
 * kept in that form alone: llama.cpp can then run the model on ids, but reads no text.
 *
 * @param files - contents of `tokenizer.json` and `tokenizer_config.json`
 * @param rows - of the embedding
 * @throws TokenizerError if it has ids beyond the rows, or one id twice
 */
export function ggufTokenizerFields({ tokenizer, config }: TokenizerFiles, rows: number): TokenizerMetadata {
  const fields = new Map<string, TokenizerField>();
  const model = record(tokenizer["model"]);
  const tokens = tokenList(tokenizer, model, rows);
  const pre = bytePairName(tokenizer, model);
  if (pre === undefined) {
    fields.set("tokenizer.ggml.model", { type: "string", value: "none" });
    fields.set("mamba.vocab_size", { type: "uint32", value: rows });
  } else {
    fields.set("tokenizer.ggml.model", { type: "string", value: "gpt2" });
    fields.set("tokenizer.ggml.pre", { type: "string", value: pre });
    fields.set("tokenizer.ggml.tokens", { type: "array", of: "string", value: tokens.contents });
    fields.set("tokenizer.ggml.token_type", { type: "array", of: "int32", value: tokens.kinds });
    fields.set("tokenizer.ggml.merges", { type: "array", of: "string", value: mergeList(model["merges"]) });
  }
  for (const [key, id] of specialIds(config, tokens.contents)) fields.set(key, { type: "uint32", value: id });
  fields.set("tokenizer.ggml.add_bos_token", { type: "bool", value: addsBos(tokenizer, config) });
  const template = config["chat_template"];
  if (typeof template === "string") fields.set("tokenizer.chat_template", { type: "string", value: template });
  const warnings = pre === undefined ? [noWords] : [];
  if (pre === undefined || !isPlain(tokenizer, pre)) {
    fields.set("tokenizer.huggingface.json", { type: "string", value: JSON.stringify(tokenizer) });
  }
  return { fields, warnings };
}

const noWords =
  "llama.cpp has no tokenizer of this kind; mamba.ts will read text with this file, llama.cpp will only take ids";

/** llama.cpp's name of the way in which text is cut; undefined if this is no byte-level BPE or it knows no such way. */
function bytePairName(tokenizer: Json, model: Json): string | undefined {
  const isBytes = model["type"] === "BPE" && record(tokenizer["decoder"])["type"] === "ByteLevel";
  if (!isBytes || model["byte_fallback"] === true) return undefined;
  // without merges every byte is a token, however text is cut
  if (!Array.isArray(model["merges"]) || model["merges"].length === 0) return "gpt-2";
  return preTokenizerName(tokenizer["pre_tokenizer"], model["ignore_merges"] === true);
}

/** Whether the metadata says everything, so that the file itself is not needed. */
function isPlain(tokenizer: Json, pre: string): boolean {
  const { normalizer, pre_tokenizer: given, added_tokens: added } = tokenizer;
  const built = preTokenizerJson(preTokenizers[pre]!);
  const hasMerges = mergeList(record(tokenizer["model"])["merges"]).length > 0;
  const cutsAlike = !hasMerges || withoutOffsets(given) === withoutOffsets(built);
  const special = (Array.isArray(added) ? added.map(record) : []).some(
    (token) => token["lstrip"] === true || token["rstrip"] === true || token["single_word"] === true,
  );
  return (normalizer ?? null) === null && cutsAlike && !special && framesPlainly(tokenizer["post_processor"]);
}

/** Whether a post-processor adds nothing to ids, or one token in front, which is looked at elsewhere. */
function framesPlainly(post: unknown): boolean {
  const { type, single } = record(post);
  if (type === "TemplateProcessing")
    return Array.isArray(single) && single.length <= 2 && "Sequence" in record(single.at(-1));
  return post === null || post === undefined || type === "ByteLevel";
}

/** Offsets in text matter to nobody here; a missing `use_regex` means true. */
function withoutOffsets(preTokenizer: unknown): string {
  return JSON.stringify(preTokenizer, (key, value: unknown) => {
    if (key === "trim_offsets") return undefined;
    const step = record(value);
    return step["type"] === "ByteLevel" ? { type: "ByteLevel", use_regex: step["use_regex"] !== false } : value;
  });
}

function tokenList(tokenizer: Json, model: Json, rows: number): { contents: string[]; kinds: Int32Array } {
  const contents = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const kinds = new Int32Array(rows).fill(tokenKinds.unused);
  const put = (content: string, id: unknown, kind: number): void => {
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= rows) {
      throw new TokenizerError(
        `GGUF tokenizer: ids must be below the ${rows} rows of the embedding; ${JSON.stringify(content)} has ${String(id)}; use the tokenizer that belongs to the model`,
        { content, id },
      );
    }
    contents[id as number] = content;
    kinds[id as number] = kind;
  };
  const vocab = model["vocab"];
  const pairs: [string, unknown][] = Array.isArray(vocab)
    ? vocab.map((piece: unknown, id) => [String((piece as unknown[])[0]), id])
    : Object.entries(record(vocab));
  for (const [content, id] of pairs) put(content, id, tokenKinds.normal);
  const added: unknown = tokenizer["added_tokens"];
  for (const token of Array.isArray(added) ? added.map(record) : []) {
    put(String(token["content"]), token["id"], token["special"] === true ? tokenKinds.control : tokenKinds.userDefined);
  }
  return { contents, kinds };
}

/** Merges as `tokenizer.json` has them, in either of its spellings, with the byte-level space where a token has a plain one. */
function mergeList(merges: unknown): string[] {
  if (!Array.isArray(merges)) return [];
  return merges.map((merge: unknown) =>
    Array.isArray(merge) ? merge.map((part) => String(part).replaceAll(" ", "\u0120")).join(" ") : String(merge),
  );
}

function specialIds(config: Json, contents: readonly string[]): [string, number][] {
  const found: [string, number][] = [];
  for (const [name, key] of specialTokens) {
    const token = config[name];
    const content = typeof token === "string" ? token : record(token)["content"];
    const id = typeof content === "string" ? contents.indexOf(content) : -1;
    if (id >= 0) found.push([key, id]);
  }
  return found;
}

/** Whether the post-processor begins texts with the first of the special tokens. */
function addsBos(tokenizer: Json, config: Json): boolean {
  const post = record(tokenizer["post_processor"]);
  const processors: unknown[] = Array.isArray(post["processors"]) ? post["processors"] : [post];
  const template = processors.map(record).find((processor) => processor["type"] === "TemplateProcessing");
  const single = template?.["single"];
  const first = record(record(Array.isArray(single) ? single[0] : undefined)["SpecialToken"])["id"];
  const bos = config["bos_token"];
  return first !== undefined && first === (typeof bos === "string" ? bos : record(bos)["content"]);
}
