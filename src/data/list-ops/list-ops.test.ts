import { describe, expect, it } from "vitest";
import { Random } from "../../tensor/random.ts";
import { evaluateListOps, listOps, parseListOps, writeListOps } from "../index.ts";
import { drawTree, largestTree } from "./grammar.ts";

const value = (text: string): number => evaluateListOps(parseListOps(text));

/** An evaluator that shares nothing with the one tested: text is rewritten from the inside out. */
function rewritten(text: string): number {
  let rest = text;
  for (;;) {
    const inner = /\[(MIN|MAX|MED|SM)((?: \d)+) \]/.exec(rest);
    if (!inner) break;
    const values = inner[2]!.trim().split(" ").map(Number);
    const ordered = values.sort();
    const [low, high] = [ordered[(values.length - 1) >> 1]!, ordered[values.length >> 1]!];
    const result = {
      MIN: ordered[0]!,
      MAX: ordered.at(-1)!,
      MED: Math.trunc((low + high) / 2),
      SM: Number(String(values.reduce((sum, x) => sum + x, 0)).at(-1)),
    }[inner[1] as "MIN" | "MAX" | "MED" | "SM"];
    rest = rest.replace(inner[0], String(result));
  }
  return Number(rest);
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const word of text.split(" ")) {
    if (word.startsWith("[")) depth++;
    if (word === "]") depth--;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

describe("evaluateListOps", () => {
  it("gives values computed by hand", () => {
    expect(value("7")).toBe(7);
    expect(value("[MAX 2 9 4 ]")).toBe(9);
    expect(value("[MIN 2 9 4 ]")).toBe(2);
    expect(value("[MED 2 9 4 ]")).toBe(4);
    // between 4 and 7 lies 5.5
    expect(value("[MED 9 4 7 0 ]")).toBe(5);
    expect(value("[SM 8 9 4 ]")).toBe(1);
    // the example of the paper
    expect(value("[MAX 2 9 [MIN 4 7 ] 0 ]")).toBe(9);
    expect(value("[SM [MED 1 [MAX 3 8 ] 5 ] [MIN [SM 9 9 ] 9 ] 6 ]")).toBe((5 + 8 + 6) % 10);
  });

  it("refuses what is no single expression", () => {
    for (const text of ["[MAX 1 2", "1 2", "]", "[MAX ]", "[MAX 1 2 ] 3", "[MAX 1 2 ] ]"]) {
      expect(() => value(text)).toThrow(/must be one expression/);
    }
    expect(() => evaluateListOps([])).toThrow(/has not ended/);
    expect(() => evaluateListOps([11, 3, 0, 15])).toThrow(/place 2 there is 0/);
    expect(() => parseListOps("[MAX 1 x ]")).toThrow(/got "x"/);
  });
});

describe("drawTree", () => {
  const limits = { maxDepth: 4, maxArguments: 5, minLength: 8, maxLength: 40 };
  const random = new Random(11);
  const out = new Int32Array(40);
  const texts = Array.from({ length: 2000 }, () => writeListOps(out.subarray(0, drawTree(random, limits, out, 1000)!)));

  it("keeps to its limits and to the grammar", () => {
    for (const text of texts) {
      const words = text.split(" ");
      expect(words.length).toBeGreaterThanOrEqual(8);
      expect(words.length).toBeLessThanOrEqual(40);
      expect(depthOf(text)).toBeLessThanOrEqual(3);
      expect(evaluateListOps(parseListOps(text))).toBe(rewritten(text));
    }
    expect(Math.max(...texts.map(depthOf))).toBe(3);
    expect(Math.max(...texts.map((text) => text.split(" ").length))).toBeGreaterThan(36);
  });

  it("draws each operator, digit and number of arguments alike", () => {
    const free = { maxDepth: 3, maxArguments: 5, minLength: 1, maxLength: 100 };
    const long = new Int32Array(100);
    const counts = new Map<string, number>();
    const sizes = [0, 0, 0, 0, 0, 0];
    let lists = 0;
    let slots = 0;
    for (let i = 0; i < 4000; i++) {
      const text = writeListOps(long.subarray(0, drawTree(random, free, long, 1)!));
      const words = text.split(" ");
      counts.set(words[0]!, (counts.get(words[0]!) ?? 0) + 1);
      for (const word of words) if (/^\d$/.test(word)) counts.set(word, (counts.get(word) ?? 0) + 1);
      const inner = words.slice(1).filter((word) => word.startsWith("[")).length;
      const flat = text.replace(/(?<!^)\[\w+[^\][]*\]/g, "list").split(" ").length - 2;
      sizes[flat]!++;
      lists += inner;
      slots += flat;
    }
    // 1000 each, standard deviation 27
    for (const size of sizes.slice(2)) expect(Math.abs(size - 1000)).toBeLessThan(140);
    for (const operator of ["[MIN", "[MAX", "[MED", "[SM"])
      expect(Math.abs(counts.get(operator)! - 1000)).toBeLessThan(140);
    const digits = Array.from({ length: 10 }, (_, digit) => counts.get(String(digit))!);
    const mean = digits.reduce((sum, count) => sum + count, 0) / 10;
    for (const count of digits) expect(Math.abs(count - mean)).toBeLessThan(5 * Math.sqrt(mean));
    // one argument in four is a list; standard deviation of the share 0.0037
    expect(Math.abs(lists / slots - 0.25)).toBeLessThan(0.019);
  });

  it("knows the largest tree", () => {
    expect(largestTree({ maxDepth: 2, maxArguments: 3 })).toBe(5);
    expect(largestTree({ maxDepth: 3, maxArguments: 3 })).toBe(17);
    expect(drawTree(random, { maxDepth: 2, maxArguments: 3, minLength: 6, maxLength: 40 }, out, 50)).toBeUndefined();
  });
});

describe("listOps", () => {
  const options = { length: 50, minLength: 8, maxDepth: 5, maxArguments: 4, seed: 3 };
  const source = listOps({ ...options, batch: 6 });

  it("gives padded rows with their values and lengths", async () => {
    expect(source).toMatchObject({ input: { vocabSize: 16 }, classes: 10 });
    const { ids, labels, lengths, length } = await source.batch(2);
    expect(length).toBe(Math.max(...lengths!));
    for (let row = 0; row < 6; row++) {
      const own = ids!.subarray(row * length, (row + 1) * length);
      expect(labels[row]).toBe(rewritten(writeListOps(own.subarray(0, lengths![row]))));
      expect(own.subarray(lengths![row]!).every((id) => id === 0)).toBe(true);
    }
  });

  it("is a pure function of the step, and rows do not hang on the batch's size", async () => {
    const { ids, labels, lengths, length } = await source.batch(1);
    expect(await source.batch(1)).toEqual({ ids, labels, lengths, length, batch: 6 });
    const alone = await listOps({ ...options, batch: 1 }).batch(8);
    expect(alone.ids).toEqual(ids!.subarray(2 * length, 2 * length + lengths![2]!));
    expect((await listOps({ ...options, seed: 4, batch: 6 }).batch(1)).labels).not.toEqual(labels);
  });

  it("refuses limits that no tree keeps", () => {
    expect(() => listOps({ ...options, batch: 1, maxDepth: 2, minLength: 7 })).toThrow(/at most the 6 tokens of/);
    expect(() => listOps({ ...options, batch: 1, maxDepth: 1 })).toThrow(/maxDepth must be a whole number from 2/);
    expect(() => listOps({ ...options, batch: 1, length: 3 })).toThrow(/length must be/);
    expect(() => listOps({ ...options, batch: 1, minLength: 51 })).toThrow(/minLength must be .* from 1 to 50; got 51/);
    const rare = listOps({ batch: 1, seed: 0, length: 341, minLength: 341, maxDepth: 5, maxArguments: 4 });
    expect(() => rare.batch(0)).toThrow(/from 341 to 341 tokens must be found/);
  });
});
