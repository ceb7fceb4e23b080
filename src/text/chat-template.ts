import { Template } from "@huggingface/jinja";
import { TokenizerError } from "../tensor/errors.ts";
import type { ChatMessage } from "./tokenizer.ts";

/** The template of a `tokenizer_config.json`: a string, or the one named `default` of a list. */
export function templateOf(config: Readonly<Record<string, unknown>>): string | undefined {
  const given = config["chat_template"];
  if (typeof given === "string") return given;
  if (!Array.isArray(given)) return undefined;
  const named = given as { name?: unknown; template?: unknown }[];
  const chosen = named.find(({ name }) => name === "default") ?? named[0];
  return typeof chosen?.template === "string" ? chosen.template : undefined;
}

/**
 * Renders a conversation with a Jinja template, as Hugging Face does.
 *
 * @param tokens - special tokens by name, such as `eos_token`
 * @throws TokenizerError if the template is missing, cannot be read or refuses the messages
 */
export function renderChat(
  source: string | undefined,
  messages: readonly ChatMessage[],
  addGenerationPrompt: boolean,
  tokens: Readonly<Record<string, string | undefined>>,
): string {
  if (source === undefined) {
    throw new TokenizerError(
      "applyChatTemplate: tokenizer_config.json must hold chat_template; it holds none; write the prompt as text",
      {},
    );
  }
  try {
    const context = {
      messages: messages.map((message) => ({ ...message })),
      add_generation_prompt: addGenerationPrompt,
    };
    return new Template(source).render({ ...context, ...tokens });
  } catch (cause) {
    throw new TokenizerError(
      `applyChatTemplate: the model's template must take these messages; it says ${String((cause as Error).message)}; check their roles and order`,
      { roles: messages.map(({ role }) => role) },
      { cause },
    );
  }
}
