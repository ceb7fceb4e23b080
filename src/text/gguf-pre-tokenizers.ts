/**
 * How llama.cpp cuts text into words before byte-pair merges, by the name in `tokenizer.ggml.pre`: each pattern cuts the pieces
 * that the one before it left. Names not here belong to models of other families.
 */
const words = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const contractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const modernWords = (digits: string): string =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const threeDigits = modernWords("\\p{N}{1,3}");
const oneDigit = modernWords("\\p{N}");

/** A way to cut text, and what else goes with its name. */
export interface PreTokenizer {
  readonly patterns: readonly string[];
  /** Words that are tokens as they are need no merges. */
  readonly ignoreMerges?: true;
  /** The first token begins every text unless the file says otherwise. */
  readonly addsBos?: true;
}

const gpt2: PreTokenizer = { patterns: [words] };
const digitByDigit: PreTokenizer = { patterns: ["\\p{N}", words] };
const llama3: PreTokenizer = { patterns: [threeDigits], ignoreMerges: true, addsBos: true };

/** By name. */
export const preTokenizers: Readonly<Partial<Record<string, PreTokenizer>>> = {
  "gpt-2": gpt2,
  "gpt-neox": gpt2,
  mpt: gpt2,
  olmo: gpt2,
  "phi-2": gpt2,
  jais: gpt2,
  starcoder: digitByDigit,
  refact: digitByDigit,
  "command-r": digitByDigit,
  smollm: digitByDigit,
  codeshell: digitByDigit,
  "llama-bpe": llama3,
  llama3,
  "llama-v3": llama3,
  falcon3: llama3,
  "falcon-h1": llama3,
  dbrx: { patterns: [threeDigits] },
  "smaug-bpe": { patterns: [threeDigits] },
  qwen2: { patterns: [oneDigit] },
  stablelm2: { patterns: [oneDigit] },
  falcon: { patterns: ["[\\p{P}\\$\\+<=>\\^~\\|`]+", words, "[0-9][0-9][0-9]"] },
  default: { patterns: ["[\\p{P}\\$\\+<=>\\^~\\|]+", words, "\\p{N}+", "[0-9][0-9][0-9]"] },
};

type Json = Readonly<Record<string, unknown>>;

/** The pre-tokenizer of a `tokenizer.json` that cuts text so and names bytes by characters. */
export function preTokenizerJson({ patterns }: PreTokenizer): Json {
  if (patterns.length === 1 && patterns[0] === words) return byteLevel(true);
  const splits = patterns.map((pattern) => ({
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  }));
  return { type: "Sequence", pretokenizers: [...splits, byteLevel(false)] };
}

/** The byte-level step; with `cuts` it cuts text as GPT-2 does. */
export function byteLevel(cuts: boolean): Json {
  return { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: cuts };
}

/**
 * The name of what a `tokenizer.json` does before merges; undefined if llama.cpp has none.
 *
 * @param ignoreMerges - whether its model takes words that are tokens as they are
 */
export function preTokenizerName(json: unknown, ignoreMerges: boolean): string | undefined {
  const steps = stepsOf(json);
  const last = steps.at(-1);
  if (last?.["type"] !== "ByteLevel" || last["add_prefix_space"] === true) return undefined;
  const cuts = last["use_regex"] !== false;
  const patterns = steps.slice(0, -1).map(patternOf);
  if (patterns.some((pattern) => pattern === undefined)) return undefined;
  const all = [...patterns, ...(cuts ? [words] : [])].join("\n");
  const found = ["gpt-2", "starcoder", "llama-bpe", "dbrx", "qwen2", "falcon"].find((name) => {
    const candidate = preTokenizers[name]!;
    return candidate.patterns.join("\n") === all && (candidate.ignoreMerges === true) === ignoreMerges;
  });
  return found;
}

function stepsOf(json: unknown): Json[] {
  const steps = isRecord(json) && json["type"] === "Sequence" ? json["pretokenizers"] : [json];
  return Array.isArray(steps) && steps.every(isRecord) ? steps : [];
}

/** The pattern of a step in llama.cpp's spelling: it has no inline flags. */
function patternOf(step: Json): string | undefined {
  if (step["type"] === "Digits") return step["individual_digits"] === true ? "\\p{N}" : undefined;
  const pattern = isRecord(step["pattern"]) ? step["pattern"]["Regex"] : undefined;
  const isPlain = step["type"] === "Split" && step["behavior"] === "Isolated" && step["invert"] !== true;
  if (!isPlain || typeof pattern !== "string") return undefined;
  return pattern.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", contractions);
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
