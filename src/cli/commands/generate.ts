import type { Command } from "commander";
import type { CausalLM } from "../../pretrained/causal-lm.ts";
import { UsageError } from "../failure.ts";
import { openModel } from "../open-model.ts";
import {
  collect,
  type DeviceFlags,
  idWithBias,
  positiveNumber,
  realNumber,
  type SourceFlags,
  type WeightFlags,
  wholeNumber,
  withDevice,
  withJson,
  withSource,
  withWeights,
} from "../options.ts";
import type { Session } from "../program.ts";
import { resolvePrompt } from "../prompt.ts";
import { readFile } from "../read-file.ts";
import { breathe } from "../terminal.ts";

interface SamplingFlags {
  readonly maxNewTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: string[];
  readonly stopTokenId?: number[];
  readonly logitBias?: [number, number][];
  readonly logprobs?: number;
}

interface GenerateFlags extends DeviceFlags, SourceFlags, WeightFlags, SamplingFlags {
  readonly stateIn?: string;
  readonly stateOut?: string;
  readonly json?: true;
}

type StreamOptions = NonNullable<Parameters<CausalLM["stream"]>[1]>;

/** Adds the verb `generate`: streams a completion. */
export function addGenerate(program: Command, session: Session): void {
  const command = program
    .command("generate")
    .description("stream a completion; with no MODEL of the story model that comes with this repository")
    .argument("[model]", "folder, weights file, shipped model, or ORGANISATION/NAME on the hub")
    .argument("[prompt]", 'text to go on from; "-" reads standard input');
  withSampling(command)
    .option("--state-in <file>", "go on from a saved state")
    .option("--state-out <file>", "save the state after the last token");
  withJson(withSource(withWeights(withDevice(command)))).action(
    (first: string | undefined, second: string | undefined, flags: GenerateFlags) =>
      generate(
        [first, second].filter((text) => text !== undefined),
        flags,
        session,
      ),
  );
}

function withSampling(command: Command): Command {
  return command
    .option("-n, --max-new-tokens <n>", "stop after this many tokens", wholeNumber(0))
    .option("-t, --temperature <x>", "0 takes the likeliest token always", realNumber(0))
    .option("--top-k <n>", "sample among the n likeliest; 0: all", wholeNumber(0))
    .option("--top-p <x>", "sample among the likeliest that together reach this probability", positiveNumber(1))
    .option("--min-p <x>", "drop tokens less likely than this times the likeliest", realNumber(0, 1))
    .option("--repetition-penalty <x>", "above 1: tokens that came before become less likely", positiveNumber())
    .option("-s, --seed <n>", "same seed, same text", wholeNumber(0))
    .option("--stop <text>", "end before this text; may be repeated", collect(String))
    .option("--stop-token-id <id>", "end at this token; may be repeated", collect(wholeNumber(0)))
    .option("--logit-bias <id=x>", "add x to a token's logit; may be repeated", collect(idWithBias))
    .option("--logprobs <n>", "with --json: each token's log-probability and the n likeliest", wholeNumber(0));
}

async function generate(args: readonly string[], flags: GenerateFlags, session: Session): Promise<void> {
  if (flags.logprobs !== undefined && !flags.json) throw new UsageError("generate: --logprobs needs --json");
  const { model, prompt } = await resolvePrompt(args, flags.stateIn !== undefined, session.terminal);
  const lm = await openModel(model, flags, session.terminal);
  try {
    const options = await streamOptions(flags, lm, session);
    const started = performance.now();
    const result = await run(lm, prompt, options, flags, session);
    const seconds = (performance.now() - started) / 1000;
    if (flags.json)
      await session.writeJson({ model, prompt, device: lm.device.name, seed: flags.seed, ...result, seconds });
    else sayRate(result.usage, seconds, session);
  } finally {
    lm.dispose();
  }
}

async function streamOptions(flags: GenerateFlags, lm: CausalLM, { terminal }: Session): Promise<StreamOptions> {
  const { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop, logprobs } = flags;
  const given = { maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop, logprobs };
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return {
    ...defined,
    ...(flags.stopTokenId ? { stopTokenIds: flags.stopTokenId } : {}),
    ...(flags.logitBias ? { logitBias: Object.fromEntries(flags.logitBias) } : {}),
    ...(flags.stateIn === undefined ? {} : { state: await lm.loadState(await readFile(flags.stateIn)) }),
    signal: terminal.signal,
  };
}

interface Completion {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly logprobs?: readonly unknown[];
  readonly finishReason: string | undefined;
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number } | undefined;
}

async function run(
  lm: CausalLM,
  prompt: string,
  options: StreamOptions,
  flags: GenerateFlags,
  { terminal }: Session,
): Promise<Completion> {
  const write = async (text: string): Promise<void> => {
    if (text && !flags.json) await terminal.write(text);
  };
  const tokens: number[] = [];
  const logprobs: unknown[] = [];
  let text = "";
  let end: Pick<Completion, "finishReason" | "usage"> | undefined;
  if (terminal.outputIsTerminal) await write(prompt);
  for await (const chunk of lm.stream(prompt, options)) {
    text += chunk.text;
    tokens.push(...chunk.tokens);
    logprobs.push(...(chunk.logprobs ?? []));
    await write(chunk.text);
    if (chunk.state) {
      end = { finishReason: chunk.finishReason, usage: chunk.usage };
      await saveState(chunk.state, flags.stateOut);
    }
    await breathe();
  }
  if (!text.endsWith("\n")) await write("\n");
  return { text, tokens, ...(flags.logprobs === undefined ? {} : { logprobs }), ...end! };
}

async function saveState(state: { serialize(): Promise<Uint8Array>; dispose(): void }, path?: string): Promise<void> {
  try {
    if (path === undefined) return;
    const { writeFileAtomically } = await import("#platform");
    const bytes = await state.serialize();
    await writeFileAtomically(path, (write) => write(bytes));
  } finally {
    state.dispose();
  }
}

function sayRate(usage: Completion["usage"], seconds: number, { terminal }: Session): void {
  if (!terminal.errorIsTerminal || !usage) return;
  const { promptTokens, completionTokens } = usage;
  const rate = (completionTokens / seconds).toFixed(1);
  terminal.writeError(`${promptTokens} tokens read, ${completionTokens} written, ${rate} a second\n`);
}
