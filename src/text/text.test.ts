import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TokenizerError } from "../tensor/errors.ts";
import { ByteTokenizer, loadTokenizer, type StreamDecoder, type Tokenizer } from "./index.ts";
import { incompleteBytes } from "./utf8.ts";

const file = (path: string): string => new URL(`../../${path}`, import.meta.url).pathname;
const parse = (path: string): unknown => JSON.parse(readFileSync(file(path), "utf8"));
const story = loadTokenizer(
  parse("models/storybook-11m/tokenizer.json"),
  parse("models/storybook-11m/tokenizer_config.json"),
);
const reference = parse("test/fixtures/storybook-11m/reference.json") as {
  greedy: { prompt: string; prompt_ids: number[]; ids: number[]; text: string }[];
};

function streamed(decoder: StreamDecoder, ids: readonly number[]): string[] {
  return [...ids.map((id) => decoder.push(id)), decoder.flush()];
}

/** Bytes in `<0x..>` form, as SentencePiece falls back to, then `words`. */
function vocabularyOf(words: readonly string[]): Record<string, number> {
  const pieces = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  return Object.fromEntries([...pieces, ...words].map((piece, id) => [piece, id]));
}

const bare = { version: "1.0", added_tokens: [], pre_tokenizer: null, normalizer: null, post_processor: null };

/** A tokenizer whose pieces are bytes and nothing else. */
function byteFallback(): Tokenizer {
  const decoder = { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] };
  return loadTokenizer({ ...bare, decoder, model: { type: "BPE", vocab: vocabularyOf([]), merges: [] } });
}

/** In the manner of SentencePiece: spaces are `▁`, one comes before the text, bytes stand for unknown letters. */
function sentencePiece(): Tokenizer {
  const vocab = vocabularyOf(["▁", "a", "b", "é", "▁a", "<s>"]);
  const space = { type: "Replace", pattern: { String: "▁" }, content: " " };
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  return loadTokenizer({
    ...bare,
    added_tokens: [{ id: vocab["<s>"], content: "<s>", special: true, normalized: false }],
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [vocab["<s>"]], tokens: ["<s>"] } },
    },
    decoder: { type: "Sequence", decoders: [space, { type: "ByteFallback" }, { type: "Fuse" }, strip] },
    model: { type: "BPE", vocab, merges: [["▁", "a"]], byte_fallback: true },
  });
}

describe("loadTokenizer", () => {
  it("gives the ids and texts of the reference implementation", () => {
    expect(reference.greedy.length).toBeGreaterThan(1);
    for (const { prompt, prompt_ids, ids, text } of reference.greedy) {
      expect(story.encode(prompt)).toEqual(prompt_ids);
      expect(story.decode(ids)).toBe(text);
    }
    expect([story.vocabSize, story.eosTokenId, story.bosTokenId, story.padTokenId]).toEqual([8192, 0, 0, 0]);
  });

  it("leaves special tokens out of text unless asked", () => {
    const ids = [0, ...story.encode("Hello"), 0];
    expect(story.decode(ids)).toBe("Hello");
    expect(story.decode(ids, { skipSpecialTokens: false })).toBe("<|endoftext|>Hello<|endoftext|>");
    expect(streamed(story.stream(), ids).join("")).toBe("Hello");
  });

  it("adds the tokenizer's special tokens unless told not to", () => {
    const tokenizer = sentencePiece();
    const start = tokenizer.vocabSize - 1;
    expect(tokenizer.encode("a")).toEqual([start, start - 1]);
    expect(tokenizer.encode("a", { addSpecialTokens: false })).toEqual([start - 1]);
  });

  it("takes vocabularies of more ids than a call takes arguments", () => {
    const vocab = Object.fromEntries(Array.from({ length: 200_000 }, (_, id) => [`t${id}`, id]));
    const json = { ...bare, decoder: { type: "ByteLevel" }, model: { type: "BPE", vocab, merges: [] } };
    expect(loadTokenizer(json).vocabSize).toBe(200_000);
  });

  it("says what is wrong with a file that is no tokenizer", () => {
    for (const bad of [null, 3, [], {}, { model: 1 }, { model: { type: "Nonsense" } }]) {
      expect(() => loadTokenizer(bad)).toThrow(TokenizerError);
    }
    expect(() => loadTokenizer({}, undefined)).toThrow("tokenizer.json: must be an object with a model; got no model");
    expect(() => story.decode([-1])).toThrow(TokenizerError);
  });
});

describe("streaming decode", () => {
  const tokenizers: [string, Tokenizer][] = [
    ["byte-level BPE", story],
    ["bytes", new ByteTokenizer()],
    ["byte fallback", byteFallback()],
    ["words and byte fallback", sentencePiece()],
  ];
  const units = fc.oneof(fc.string({ unit: "binary", maxLength: 1 }), fc.constantFrom("\uFFFD", "a", " a", "é", "€"));
  const texts = fc.array(units, { maxLength: 24 }).map((parts) => parts.join(""));
  // the library drops a byte order mark at the beginning of a run of byte tokens
  const hasMark = (text: string): boolean => text.includes("\uFEFF");
  for (const [name, tokenizer] of tokenizers) {
    it(`gives all of the text and never half a character: ${name}`, () => {
      fc.assert(
        fc.property(texts, (text) => {
          fc.pre(!(name.includes("fallback") && hasMark(text)));
          const ids = name === "byte fallback" ? new ByteTokenizer().encode(text) : tokenizer.encode(text);
          const parts = streamed(tokenizer.stream(), ids);
          expect(parts.join("")).toBe(text);
          if (!text.includes("\uFFFD")) expect(parts.join("\n")).not.toContain("\uFFFD");
        }),
        { numRuns: 300 },
      );
    });
  }

  it("is decode of all ids for ids at random, which need not be UTF-8", () => {
    for (const [, tokenizer] of tokenizers) {
      const ids = fc.array(fc.integer({ min: 0, max: tokenizer.vocabSize - 1 }), { maxLength: 30 });
      fc.assert(
        fc.property(ids, (some) => {
          expect(streamed(tokenizer.stream(), some).join("")).toBe(tokenizer.decode(some));
        }),
      );
    }
  });

  it("ends half a character before a whole token of another kind", () => {
    const vocab = { Ã: 0, "©": 1, "[x]": 2 };
    const tokenizer = loadTokenizer({
      ...bare,
      added_tokens: [{ id: 2, content: "[x]", special: false, normalized: false }],
      decoder: { type: "ByteLevel" },
      model: { type: "BPE", vocab, merges: [] },
    });
    expect(streamed(tokenizer.stream(), [0, 1, 0, 2])).toEqual(["", "é", "", "\uFFFD[x]", ""]);
    expect(tokenizer.decode([0, 1, 0, 2])).toBe("é\uFFFD[x]");
  });

  it("keeps byte order marks, and halves of a character at the end as U+FFFD", () => {
    for (const tokenizer of [story, new ByteTokenizer()]) {
      const ids = tokenizer.encode("\uFEFFa\uFEFF");
      expect(tokenizer.decode(ids)).toBe("\uFEFFa\uFEFF");
      expect(streamed(tokenizer.stream(), ids).join("")).toBe("\uFEFFa\uFEFF");
    }
    for (const tokenizer of [new ByteTokenizer(), byteFallback()]) {
      expect(streamed(tokenizer.stream(), [0x61, 0xe2, 0x82])).toEqual(["a", "", "", "\uFFFD"]);
    }
  });

  it("keeps the space of a word that comes after many special tokens", () => {
    const tokenizer = sentencePiece();
    const [start, word] = tokenizer.encode("a") as [number, number];
    const ids = [word, ...new Array<number>(20).fill(start), word];
    expect(streamed(tokenizer.stream(), ids).join("")).toBe("a a");
  });

  it("goes on from a snapshot in the middle of a character", () => {
    const ids = new ByteTokenizer().encode("a🐍b");
    for (const tokenizer of [new ByteTokenizer(), byteFallback(), sentencePiece()]) {
      for (let cut = 0; cut <= ids.length; cut++) {
        const first = tokenizer.stream();
        const before = ids.slice(0, cut).map((id) => first.push(id));
        const second = tokenizer.stream();
        second.restore(JSON.parse(JSON.stringify(first.snapshot())));
        expect(before.join("") + streamed(second, ids.slice(cut)).join("")).toBe("a🐍b");
      }
    }
  });

  it("holds back only what begins a character", () => {
    expect(incompleteBytes([0xf0, 0x9f, 0x90])).toBe(3);
    expect(incompleteBytes([0x61, 0xe2, 0x82])).toBe(2);
    expect(incompleteBytes([0xe0, 0x80])).toBe(0); // an overlong form can't be completed
    expect(incompleteBytes([0xed, 0xa0])).toBe(0); // nor can a surrogate
    expect(incompleteBytes([0xc3, 0xa9])).toBe(0);
    expect(incompleteBytes([0xff])).toBe(0);
  });
});

describe("chat templates", () => {
  const template =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
  const json = parse("models/storybook-11m/tokenizer.json");

  it("renders messages with the model's special tokens", () => {
    const tokenizer = loadTokenizer(json, { chat_template: template, eos_token: { content: "<|endoftext|>" } });
    const messages = [{ role: "user", content: "hi" }];
    expect(tokenizer.applyChatTemplate(messages)).toBe("<user>hi<|endoftext|><assistant>");
    expect(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: false })).toBe("<user>hi<|endoftext|>");
    const list = [
      { name: "tools", template: "no" },
      { name: "default", template: "yes" },
    ];
    expect(loadTokenizer(json, { chat_template: list }).applyChatTemplate(messages)).toBe("yes");
  });

  it("says so when there is no template, or it refuses", () => {
    expect(() => story.applyChatTemplate([])).toThrow("tokenizer_config.json must hold chat_template");
    const strict = loadTokenizer(json, { chat_template: "{{ raise_exception('roles must alternate') }}" });
    expect(() => strict.applyChatTemplate([{ role: "user", content: "" }])).toThrow(/roles must alternate/);
    expect(() => new ByteTokenizer().applyChatTemplate([])).toThrow(TokenizerError);
  });
});
