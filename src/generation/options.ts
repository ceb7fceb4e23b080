import { ConfigError } from "../tensor/errors.ts";
import { nearest } from "../tensor/nearest-word.ts";
import type { Tokenizer } from "../text/index.ts";
import type { GenerationState } from "./generation-state.ts";

/**
 * How a text is generated. What is left out comes from the model's `generation_config.json`, then from the
 * defaults named here.
 */
export interface GenerationOptions {
  /** Most tokens to generate; default 128. */
  readonly maxNewTokens?: number;
  /** Divides the logits; 0 takes the likeliest token always. Default 1, or 0 where the model says `do_sample: false`. */
  readonly temperature?: number;
  /** Sample among this many likeliest tokens; 0 for all. Default 0. */
  readonly topK?: number;
  /** Sample among the likeliest tokens that together reach this probability. Default 1. */
  readonly topP?: number;
  /** Drop tokens less likely than this times the likeliest. Default 0. */
  readonly minP?: number;
  /** Divides positive and multiplies negative logits of tokens that came before. Default 1. */
  readonly repetitionPenalty?: number;
  /** Same seed, same text on the same backend; default drawn at random. */
  readonly seed?: number;
  /** Text that ends the completion and is not part of it. */
  readonly stop?: string | readonly string[];
  /** Ids that end the completion; default the model's and the tokenizer's end-of-sequence ids. */
  readonly stopTokenIds?: readonly number[];
  /** Added to the logits, by id; -Infinity bans a token, Infinity forces it. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** Changes logits in place, or returns others, before everything else. `recent` holds the latest ids, newest last. */
  readonly processLogits?: (logits: Float32Array, recent: readonly number[]) => Float32Array | undefined;
  /** Log-probabilities of the tokens and of this many likeliest alternatives; `true` for none of these. */
  readonly logprobs?: number | true;
  readonly signal?: AbortSignal;
  /** Where to go on from; stays valid. */
  readonly state?: GenerationState;
}

/** Options with every default filled in. */
export interface ResolvedGenerationOptions {
  readonly maxNewTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly seed: number;
  readonly stop: readonly string[];
  readonly stopTokenIds: readonly number[];
  readonly logitBias: ReadonlyMap<number, number>;
  readonly processLogits?: GenerationOptions["processLogits"];
  readonly logprobs?: number;
  readonly signal?: AbortSignal;
}

type Json = Readonly<Record<string, unknown>>;

interface Range {
  readonly low: number;
  readonly high?: number;
  readonly integer?: boolean;
  /** Whether `low` itself is too low. */
  readonly above?: boolean;
}

const ranges = {
  maxNewTokens: { low: 0, integer: true },
  temperature: { low: 0 },
  topK: { low: 0, integer: true },
  topP: { low: 0, high: 1, above: true },
  minP: { low: 0, high: 1 },
  repetitionPenalty: { low: 0, above: true },
  seed: { low: 0, high: Number.MAX_SAFE_INTEGER, integer: true },
  logprobs: { low: 0, integer: true },
} as const satisfies Record<string, Range>;

type NumberOption = keyof typeof ranges;

const known = [...Object.keys(ranges), "stop", "stopTokenIds", "logitBias", "processLogits", "signal", "state"];

/** Keys of `generation_config.json` by option; `max_length` counts the prompt too and is left alone. */
const configKeys: Partial<Record<NumberOption, string>> = {
  maxNewTokens: "max_new_tokens",
  temperature: "temperature",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repetitionPenalty: "repetition_penalty",
};

/**
 * Fills in what the caller left out, and checks everything.
 *
 * @param options - the caller's
 * @param generationConfig - the parsed `generation_config.json`, if there is one
 * @param tokenizer - whose end-of-sequence id stops the text too
 * @throws ConfigError naming the option, what came and what may come
 */
export function resolveGenerationOptions(
  options: GenerationOptions,
  generationConfig: unknown,
  tokenizer: Pick<Tokenizer, "eosTokenId">,
): ResolvedGenerationOptions {
  checkNames(options);
  checkObjects(options);
  const config = configOf(generationConfig);
  const number = (name: NumberOption, otherwise: number): number => {
    const own = options[name];
    if (own !== undefined) return checked(name, own, name);
    const key = configKeys[name];
    const given = key === undefined ? undefined : config[key];
    return given === undefined || given === null ? otherwise : checked(name, given, inConfig(key!));
  };
  const greedy = config["do_sample"] === false && options.temperature === undefined;
  const { processLogits, signal } = options;
  const logprobs = options.logprobs === true ? 0 : options.logprobs;
  return {
    maxNewTokens: number("maxNewTokens", 128),
    temperature: greedy ? 0 : number("temperature", 1),
    topK: number("topK", 0),
    topP: number("topP", 1),
    minP: number("minP", 0),
    repetitionPenalty: number("repetitionPenalty", 1),
    seed: options.seed === undefined ? randomSeed() : checked("seed", options.seed, "seed"),
    stop: stopStrings(options.stop),
    stopTokenIds: stopIds(options.stopTokenIds, config["eos_token_id"], tokenizer.eosTokenId),
    logitBias: biases(options.logitBias),
    ...(logprobs === undefined ? {} : { logprobs: checked("logprobs", logprobs, "logprobs") }),
    ...(processLogits ? { processLogits } : {}),
    ...(signal ? { signal } : {}),
  };
}

/** The parsed `generation_config.json`, or nothing. */
function configOf(given: unknown): Json {
  if (given === undefined || given === null) return {};
  if (!isRecord(given)) throw optionError("generation_config.json", "be an object", given);
  const sample = given["do_sample"];
  if (sample !== undefined && sample !== null && typeof sample !== "boolean") {
    throw optionError(inConfig("do_sample"), "be true or false", sample);
  }
  return given;
}

function inConfig(key: string): string {
  return `generation_config.json ${key}`;
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function optionError(name: string, must: string, came: unknown): ConfigError {
  const shown = typeof came === "string" ? `"${came}"` : Array.isArray(came) ? `[${came.join(", ")}]` : String(came);
  return new ConfigError(`generate: ${name} must ${must}; got ${shown}; change it or leave it out`, {
    option: name,
    actual: came,
  });
}

function checked(name: NumberOption, value: unknown, where: string): number {
  const { low, high = Number.POSITIVE_INFINITY, integer = false, above = false }: Range = ranges[name];
  const fits =
    typeof value === "number" &&
    (above ? value > low : value >= low) &&
    value <= high &&
    Number.isFinite(value) &&
    (!integer || Number.isSafeInteger(value));
  if (fits) return value;
  const kind = integer ? "a whole number" : "a number";
  const bounds = `${above ? "above" : "from"} ${low}${Number.isFinite(high) ? ` to ${high}` : ""}`;
  throw optionError(where, `be ${kind} ${bounds}`, value);
}

function checkObjects({ processLogits, signal, state }: GenerationOptions): void {
  if (processLogits !== undefined && typeof processLogits !== "function") {
    throw optionError("processLogits", "be a function", processLogits);
  }
  if (signal !== undefined && typeof (signal as unknown as Json | null)?.["aborted"] !== "boolean") {
    throw optionError("signal", "be an AbortSignal", signal);
  }
  if (state !== undefined && !isRecord((state as unknown as Json | null)?.["facts"])) {
    throw optionError("state", "be a state that generate, stream or loadState gave", state);
  }
}

function checkNames(options: GenerationOptions): void {
  if (!isRecord(options)) throw optionError("options", "be an object", options);
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const suggestion = nearest(name, known);
    throw new ConfigError(
      `generate: options must be among ${known.join(", ")}; got ${name}; did you mean ${suggestion}?`,
      { option: name, nearest: suggestion },
    );
  }
}

function randomSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

function stopStrings(stop: GenerationOptions["stop"]): string[] {
  const list = stop === undefined ? [] : typeof stop === "string" ? [stop] : stop;
  if (!Array.isArray(list) || list.some((text) => typeof text !== "string" || text === "")) {
    throw optionError("stop", "be text or a list of texts, none of them empty", stop);
  }
  return [...list];
}

function stopIds(own: unknown, configured: unknown, eosTokenId: number | undefined): number[] {
  if (own !== undefined) return [...new Set(idList(own, "stopTokenIds", "be a list of ids"))];
  const usual = configured ?? [];
  const list = Array.isArray(usual) ? usual : [usual];
  const ids = idList(list, inConfig("eos_token_id"), "be an id or a list of ids");
  return [...new Set(eosTokenId === undefined ? ids : [...ids, eosTokenId])];
}

function idList(given: unknown, name: string, must: string): number[] {
  if (Array.isArray(given) && given.every((id) => Number.isSafeInteger(id) && id >= 0)) return given;
  throw optionError(name, must, given);
}

function biases(given: unknown): Map<number, number> {
  if (given === undefined) return new Map();
  if (!isRecord(given)) throw optionError("logitBias", "be a record of numbers by id", given);
  return new Map(
    Object.entries(given).map(([key, bias]) => {
      const id = Number(key);
      if (!Number.isSafeInteger(id) || id < 0) throw optionError("logitBias", "have ids as keys", key);
      // -Infinity bans a token
      if (typeof bias !== "number" || Number.isNaN(bias)) throw optionError(`logitBias[${key}]`, "be a number", bias);
      return [id, bias];
    }),
  );
}
