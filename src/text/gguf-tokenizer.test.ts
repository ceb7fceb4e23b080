import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { TokenizerError } from "../tensor/errors.ts";
import { byteTokenizerFile } from "./byte-tokenizer-file.ts";
import { ggufTokenizer, hasGgufTokenizer } from "./gguf-tokenizer.ts";
import { ggufTokenizerFields } from "./gguf-tokenizer-write.ts";
import { loadTokenizer } from "./pretrained-tokenizer.ts";

type Json = Record<string, unknown>;

const parse = async (file: string): Promise<Json> =>
  JSON.parse(await readFile(new URL(`../../models/storybook-11m/${file}`, import.meta.url), "utf8")) as Json;
const story = async () => ({ tokenizer: await parse("tokenizer.json"), config: await parse("tokenizer_config.json") });

const varied = [
  "",
  "Once upon a time",
  " leading and trailing ",
  "  two\tspaces\t\tand\n\n\nlines \r\n end",
  "I'll, you've, THEY'RE, don't, 's 'S it's",
  "0 12 345 6789 3.14159 1,000,000 x1y22z333",
  "na\u00efve caf\u00e9 \u4f60\u597d\u4e16\u754c \u0645\u0631\u062d\u0628\u0627 \u{1F600}\u{1F468}\u200D\u{1F469}\u200D\u{1F467}",
  "<|endoftext|>begin<|endoftext|><|endoftex",
  "!?.,;:()[]{}<>@#$%^&*-_=+~`|\\/\"'",
  "\u0000\u0001\u00ad\u2028\ufeff",
];

describe("byte-level tokenizers", () => {
  it("come back from GGUF with equal ids and text", async () => {
    const files = await story();
    const { fields, warnings } = ggufTokenizerFields(files, 8200);
    expect(warnings).toEqual([]);
    expect([...fields.keys()]).not.toContain("tokenizer.huggingface.json");
    const [before, after] = [files, ggufTokenizer(fields)].map(({ tokenizer, config }) =>
      loadTokenizer(tokenizer, config),
    );
    for (const text of varied) {
      const ids = before!.encode(text);
      expect(after!.encode(text)).toEqual(ids);
      expect(after!.decode(ids, { skipSpecialTokens: false })).toBe(before!.decode(ids, { skipSpecialTokens: false }));
      expect(after!.decode(ids)).toBe(before!.decode(ids));
    }
    expect(after!.vocabSize).toBe(before!.vocabSize);
    expect([after!.bosTokenId, after!.eosTokenId, after!.padTokenId]).toEqual([0, 0, 0]);
  });

  it("fill the rows of the embedding with unused tokens", async () => {
    const { fields } = ggufTokenizerFields(await story(), 8200);
    const tokens = fields.get("tokenizer.ggml.tokens")!.value as string[];
    const kinds = fields.get("tokenizer.ggml.token_type")!.value as Int32Array;
    expect([tokens.length, tokens[0], kinds[0], tokens[1], kinds[1]]).toEqual([8200, "<|endoftext|>", 3, "!", 1]);
    expect([tokens[8199], kinds[8199]]).toEqual(["[PAD8199]", 5]);
    expect((fields.get("tokenizer.ggml.merges")!.value as string[])[0]).toMatch(/^\S+ \S+$/);
  });

  it("of bytes alone need no merges", () => {
    const { fields } = ggufTokenizerFields({ tokenizer: byteTokenizerFile(), config: {} }, 256);
    const { tokenizer, config } = ggufTokenizer(fields);
    expect(fields.get("tokenizer.ggml.pre")!.value).toBe("gpt-2");
    const text = "it's 12 \u00e9\u{1F600}";
    expect(loadTokenizer(tokenizer, config).encode(text)).toEqual([...new TextEncoder().encode(text)]);
  });

  it("with what llama.cpp has no words for keep the whole file", async () => {
    const { tokenizer, config } = await story();
    const normalized = { ...tokenizer, normalizer: { type: "NFC" } };
    const { fields } = ggufTokenizerFields({ tokenizer: normalized, config }, 8192);
    expect(fields.get("tokenizer.ggml.model")!.value).toBe("gpt2");
    const rebuilt = ggufTokenizer(fields);
    expect(rebuilt.tokenizer).toEqual(normalized);
    // e and a combining acute accent become one character
    const loaded = loadTokenizer(rebuilt.tokenizer, rebuilt.config);
    expect(loaded.encode("cafe\u0301")).toEqual(loaded.encode("caf\u00e9"));
    expect(loaded.eosTokenId).toBe(0);
  });

  it("begin with the first token where the original does", async () => {
    const { tokenizer, config } = await story();
    const single = [{ SpecialToken: { id: "<|endoftext|>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
    const special = { "<|endoftext|>": { id: "<|endoftext|>", ids: [0], tokens: ["<|endoftext|>"] } };
    const post = { type: "TemplateProcessing", single, pair: single, special_tokens: special };
    const { fields } = ggufTokenizerFields({ tokenizer: { ...tokenizer, post_processor: post }, config }, 8192);
    expect(fields.has("tokenizer.huggingface.json")).toBe(false);
    const rebuilt = ggufTokenizer(fields);
    const loaded = loadTokenizer(rebuilt.tokenizer, rebuilt.config);
    expect(loaded.encode("Once")[0]).toBe(0);
    expect(loaded.encode("Once", { addSpecialTokens: false })[0]).not.toBe(0);
  });

  it.each([
    [
      "starcoder",
      [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      ],
    ],
    ["qwen2", [split("\\p{N}"), { type: "ByteLevel", add_prefix_space: false, use_regex: false }]],
    ["dbrx", [split("\\p{N}{1,3}"), { type: "ByteLevel", add_prefix_space: false, use_regex: false }]],
  ])("are known as %s by the way they cut text", async (name, pretokenizers) => {
    const { tokenizer, config } = await story();
    const changed = { ...tokenizer, pre_tokenizer: { type: "Sequence", pretokenizers } };
    const { fields, warnings } = ggufTokenizerFields({ tokenizer: changed, config }, 8192);
    expect([fields.get("tokenizer.ggml.pre")?.value, warnings]).toEqual([name, []]);
    const rebuilt = ggufTokenizer(new Map([...fields].filter(([key]) => key !== "tokenizer.huggingface.json")));
    const [before, after] = [loadTokenizer(changed, config), loadTokenizer(rebuilt.tokenizer, rebuilt.config)];
    for (const text of varied) expect(after.encode(text)).toEqual(before.encode(text));
  });

  it("that cut text in other ways are kept as they are, and llama.cpp is told that there is none", async () => {
    const { tokenizer, config } = await story();
    const changed = { ...tokenizer, pre_tokenizer: { type: "Metaspace" } };
    const { fields, warnings } = ggufTokenizerFields({ tokenizer: changed, config }, 8192);
    expect(warnings).toEqual([expect.stringMatching(/llama.cpp will only take ids/)]);
    expect(fields.get("tokenizer.ggml.model")!.value).toBe("none");
    expect(fields.get("mamba.vocab_size")!.value).toBe(8192);
    const rebuilt = ggufTokenizer(fields);
    expect(rebuilt.tokenizer).toEqual(changed);
    expect(rebuilt.config["eos_token"]).toBe("<|endoftext|>");
  });

  it("must fit the model", async () => {
    const files = await story();
    expect(() => ggufTokenizerFields(files, 8000)).toThrow(TokenizerError);
    expect(() => ggufTokenizerFields(files, 8000)).toThrow(/below the 8000 rows/);
  });
});

/** A step that cuts as newer models do it. */
function split(digits: string): Json {
  const Regex = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
  return { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
}

describe("SentencePiece vocabularies", () => {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const pieces = ["\u2581", "a", "b", "c", "ab", "bc", "\u2581a", "\u2581ab", "abc"];
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...pieces];
  const kinds = Int32Array.from(tokens, (_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1));
  // the later a piece, the lower its score; single characters last, as in trained models
  const order = ["bc", "ab", "\u2581a", "\u2581ab", "abc"];
  const scores = Float32Array.from(tokens, (token) => (order.includes(token) ? -order.indexOf(token) : -100));
  const fields = new Map<string, { value: unknown }>([
    ["tokenizer.ggml.model", { value: "llama" }],
    ["tokenizer.ggml.tokens", { value: tokens }],
    ["tokenizer.ggml.token_type", { value: kinds }],
    ["tokenizer.ggml.scores", { value: scores }],
    ["tokenizer.ggml.bos_token_id", { value: 1 }],
    ["tokenizer.ggml.eos_token_id", { value: 2 }],
  ]);
  const { tokenizer, config } = ggufTokenizer(fields);
  const loaded = loadTokenizer(tokenizer, config);
  const texts = (ids: number[]): string[] => ids.map((id) => tokens[id]!);

  it("join the neighbours with the highest score first", () => {
    // bc comes before ab; then _a
    expect(texts(loaded.encode("abc"))).toEqual(["<s>", "\u2581a", "bc"]);
    // _a b: ab is higher than _a, then _ab joins
    expect(texts(loaded.encode("ab"))).toEqual(["<s>", "\u2581ab"]);
    expect(texts(loaded.encode("ab ab", { addSpecialTokens: false }))).toEqual(["\u2581ab", "\u2581ab"]);
  });

  it("fall back to bytes and give the text back", () => {
    expect(texts(loaded.encode("a\u00e9", { addSpecialTokens: false }))).toEqual(["\u2581a", "<0xC3>", "<0xA9>"]);
    for (const text of ["ab abc", "a \u{1F600}b\n", "  c"]) expect(loaded.decode(loaded.encode(text))).toBe(text);
  });

  it("need scores", () => {
    const without = new Map([...fields].filter(([key]) => key !== "tokenizer.ggml.scores"));
    expect(() => ggufTokenizer(without)).toThrow(/tokenizer.ggml.scores must have 268 numbers/);
  });
});

describe("metadata that is no tokenizer", () => {
  const base: [string, { value: unknown }][] = [
    ["tokenizer.ggml.model", { value: "gpt2" }],
    ["tokenizer.ggml.tokens", { value: ["a", "b", "ab"] }],
    ["tokenizer.ggml.merges", { value: ["a b"] }],
  ];
  const build = (key: string, value: unknown) => () => ggufTokenizer(new Map([...base, [key, { value }]]));

  it("is refused by the name of its key", () => {
    expect(hasGgufTokenizer(new Map(base))).toBe(true);
    expect(hasGgufTokenizer(new Map())).toBe(false);
    for (const [key, value, message] of [
      ["tokenizer.ggml.model", "bert", /must be "gpt2" or "llama"; got bert/],
      ["tokenizer.ggml.pre", "deepseek-llm", /tokenizer.ggml.pre must be one of gpt-2.*; got deepseek-llm/],
      ["tokenizer.ggml.pre", "constructor", /tokenizer.ggml.pre must be one of/],
      ["tokenizer.ggml.tokens", 7, /tokens must be a list of texts/],
      ["tokenizer.ggml.token_type", Int32Array.of(1), /token_type must have 3 numbers/],
      ["tokenizer.ggml.merges", ["ab"], /must each be two tokens; got "ab"/],
      ["tokenizer.ggml.add_bos_token", 1, /add_bos_token must be true or false/],
      ["tokenizer.huggingface.json", "{", /huggingface.json must be JSON/],
    ] as const) {
      expect(build(key, value)).toThrow(TokenizerError);
      expect(build(key, value)).toThrow(message);
    }
  });

  it("may lack a pre-tokenizer, as old files do, and is cut as GPT-2 does it", () => {
    const { tokenizer } = ggufTokenizer(new Map(base));
    expect(tokenizer["pre_tokenizer"]).toMatchObject({ type: "ByteLevel", use_regex: true });
  });
});
