import { type FileSet, readJson } from "../../checkpoints/index.ts";
import { openTokenizer } from "../../pretrained/index.ts";
import type { Tokenizer } from "../../text/index.ts";

/** A tokenizer and its files by name. */
export interface TokenizerFiles {
  /** Undefined for bytes. */
  readonly tokenizer: Tokenizer | undefined;
  /** JSON values, to be copied beside new weights. */
  readonly files: Readonly<Record<string, unknown>>;
}

const names = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"];

/** The tokenizer of a model's folder, with what else belongs beside weights; undefined if there is none. */
export async function readTokenizer(files: FileSet): Promise<TokenizerFiles | undefined> {
  if (!(await files.has("tokenizer.json"))) return undefined;
  const tokenizer = await openTokenizer(files);
  const found: Record<string, unknown> = {};
  for (const name of names) if (await files.has(name)) found[name] = await readJson(files, name);
  return { tokenizer, files: found };
}
