import { describe, expect, it } from "vitest";
import { ByteTokenizer } from "./byte-tokenizer.ts";
import { byteTokenizerFile } from "./byte-tokenizer-file.ts";
import { loadTokenizer } from "./pretrained-tokenizer.ts";

describe("byteTokenizerFile", () => {
  const tokenizer = loadTokenizer(JSON.parse(JSON.stringify(byteTokenizerFile())));

  it.each(["Now is the winter", " two  spaces\n\tand a tab ", "größer, 状態, 🐍\u0000\u007f\u00ad", ""])(
    "reads %j as its bytes and back",
    (text) => {
      const bytes = new ByteTokenizer().encode(text);
      expect(Array.from(tokenizer.encode(text))).toEqual(bytes);
      expect(tokenizer.decode(bytes)).toBe(text);
    },
  );

  it("has an id for every byte", () => {
    expect(tokenizer.vocabSize).toBe(256);
  });
});
