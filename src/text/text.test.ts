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

/** A tokenizer whose pieces are bytes in `<0x..>` form, as SentencePiece falls back to. */
function byteFallback(): Tokenizer {
  const pieces = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  const decoder = { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] };
  const model = { type: "BPE", vocab, merges: [], byte_fallback: true };
  return loadTokenizer({
    version: "1.0",
    added_tokens: [],
    model,
    decoder,
    pre_tokenizer: null,
    normalizer: null,
    post_processor: null,
  });
}

describe("loadTokenizer", () => {
  it("gives the ids and texts of the reference implementation", () => {
    expect(reference.greedy.length).toBeGreaterThan(1);
    for (const { prompt, prompt_ids, ids, text } of reference.greedy) {
      expect(story.encode(prompt)).toEqual(prompt_ids);
      expect(prompt + story.decode(ids.slice(prompt_ids.length))).toContain(text.slice(-20));
    }
    expect([story.vocabSize, story.eosTokenId, story.bosTokenId, story.padTokenId]).toEqual([8192, 0, 0, 0]);
  });

  it("leaves special tokens out of text unless asked", () => {
    const ids = [0, ...story.encode("Hello"), 0];
    expect(story.decode(ids)).toBe("Hello");
    expect(story.decode(ids, { skipSpecialTokens: false })).toBe("<|endoftext|>Hello<|endoftext|>");
    expect(streamed(story.stream(), ids).join("")).toBe("Hello");
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
  ];
  for (const [name, tokenizer] of tokenizers) {
    it(`gives all of the text and never half a character: ${name}`, () => {
      fc.assert(
        fc.property(fc.string({ unit: "binary", maxLength: 12 }), (text) => {
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
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 8191 }), { maxLength: 30 }), (ids) => {
        expect(streamed(story.stream(), ids).join("")).toBe(story.decode(ids));
      }),
    );
  });

  it("goes on from a snapshot in the middle of a character", () => {
    const ids = new ByteTokenizer().encode("a🐍b");
    for (const tokenizer of [new ByteTokenizer(), byteFallback()]) {
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
