import { UsageError } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

/** The model that `generate` takes when none is named. */
export const storyModel = "storybook-11m";

const storyPrompt = "Once upon a time";

/**
 * Tells model and prompt apart: two arguments are both; one is a model if it names one, else a prompt for the story model.
 *
 * @param continues - whether a saved state is gone on from, so that no prompt is needed
 * @throws UsageError if a prompt is missing
 */
export async function resolvePrompt(
  args: readonly string[],
  continues: boolean,
  terminal: Pick<Terminal, "readInput">,
): Promise<{ model: string; prompt: string }> {
  const [first, second] = args;
  if (first === undefined) return { model: storyModel, prompt: continues ? "" : storyPrompt };
  if (second !== undefined) return { model: first, prompt: await readPrompt(second, continues, terminal) };
  if (!(await namesModel(first))) {
    return { model: storyModel, prompt: await readPrompt(first, continues, terminal) };
  }
  if (continues) return { model: first, prompt: "" };
  if (first === storyModel) return { model: first, prompt: storyPrompt };
  throw new UsageError(`generate: a prompt must follow the model; try: mamba generate ${first} "${storyPrompt}"`);
}

async function readPrompt(text: string, continues: boolean, terminal: Pick<Terminal, "readInput">): Promise<string> {
  const prompt = text === "-" ? await terminal.readInput() : text;
  if (prompt === "" && !continues) throw new UsageError("generate: the prompt must not be empty; give some text");
  return prompt;
}

/** Whether an argument on its own is a model: written like a path or a hub's name, or there is one of that name. */
async function namesModel(text: string): Promise<boolean> {
  if (/^\S*\/\S*$/.test(text)) return true;
  const { findModelPath, openFolder, pathKind } = await import("#platform");
  const path = await findModelPath(text);
  if (path === undefined) return false;
  const isFolder = (await pathKind(path)) === "folder";
  return isFolder ? (await openFolder(path)).has("config.json") : /\.(?:safetensors|bin|pt|pth)$/.test(path);
}
