/**
 * Text to ids and back: tokenizers of `tokenizer.json`, bytes, streaming decode, chat templates.
 *
 * @module
 */
export { ByteTokenizer } from "./byte-tokenizer.ts";
export { byteTokenizerFile } from "./byte-tokenizer-file.ts";
export { ggufTokenizer, hasGgufTokenizer, type TokenizerFiles } from "./gguf-tokenizer.ts";
export { ggufTokenizerFields, type TokenizerField, type TokenizerMetadata } from "./gguf-tokenizer-write.ts";
export { loadTokenizer } from "./pretrained-tokenizer.ts";
export type {
  ChatMessage,
  ChatTemplateOptions,
  DecodeOptions,
  EncodeOptions,
  StreamDecoder,
  StreamSnapshot,
  Tokenizer,
} from "./tokenizer.ts";
