import {
  fileTypes,
  type GgufField,
  type GgufPrecision,
  mambaGgufFields,
  mambaGgufTensors,
  writeGguf,
} from "../../checkpoints/index.ts";
import type { MambaConfig } from "../../models/index.ts";
import { randomEntries } from "./random-entries.ts";

/** The 256 byte tokens of GPT-2's byte-level vocabulary, then made-up tokens, and the end of text. */
function tokensOf(size: number): string[] {
  const printable = (code: number): boolean =>
    (code >= 33 && code <= 126) || (code >= 161 && code <= 172) || (code >= 174 && code <= 255);
  const codes = Array.from({ length: 256 }, (_, code) => code);
  const shifted = codes.filter((code) => !printable(code)).map((_, i) => 256 + i);
  const first = [...codes.filter(printable), ...shifted].map((code) => String.fromCodePoint(code));
  const rest = Array.from({ length: size - 257 }, (_, i) => `tok${256 + i}`);
  return [...first, ...rest, "<|endoftext|>"];
}

/** Writes a GGUF file of a model that nobody trained, which llama.cpp loads too. */
export async function writeRandomGguf(path: string, config: MambaConfig, precision: GgufPrecision): Promise<void> {
  const size = config.paddedVocabSize;
  const fields = mambaGgufFields(config, fileTypes[precision], "random");
  const kinds = Int32Array.from({ length: size }, (_, i) => (i === size - 1 ? 3 : 1));
  const vocabulary: [string, GgufField][] = [
    ["mamba.vocab_size", { type: "uint32", value: size }],
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", value: tokensOf(size) }],
    ["tokenizer.ggml.token_type", { type: "array", of: "int32", value: kinds }],
    ["tokenizer.ggml.merges", { type: "array", of: "string", value: ["t o", "to k"] }],
    ...["bos", "eos", "unknown"].map((name): [string, GgufField] => [
      `tokenizer.ggml.${name}_token_id`,
      { type: "uint32", value: size - 1 },
    ]),
  ];
  for (const [key, field] of vocabulary) fields.set(key, field);
  await writeGguf(path, mambaGgufTensors(config, randomEntries(config), precision), fields);
}
