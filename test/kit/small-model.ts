import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type FileSet, memoryFiles } from "../../src/checkpoints/index.ts";
import { CausalLM, type PretrainedOptions } from "../../src/pretrained/index.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Contents of a file of the repository. */
export const bytesOf = (path: string): Promise<Buffer> => readFile(`${root}${path}`);

/** Files of a fixture model, with the shipped model's tokenizer, changed as asked. */
export async function fixtureFiles(
  name: string,
  changed: Readonly<Record<string, Uint8Array | string>> = {},
): Promise<FileSet> {
  return memoryFiles({
    "config.json": await bytesOf(`test/fixtures/${name}/config.json`),
    "model.safetensors": await bytesOf(`test/fixtures/${name}/model.safetensors`),
    "tokenizer.json": await bytesOf("models/storybook-11m/tokenizer.json"),
    ...changed,
  });
}

/** Opens a model and runs it once, so that what it keeps between calls is in memory already. */
export async function openWarm(source: string | FileSet, options: PretrainedOptions): Promise<CausalLM> {
  const lm = await CausalLM.fromPretrained(source, options);
  (await lm.generate([1], { maxNewTokens: 0 })).state.dispose();
  return lm;
}
