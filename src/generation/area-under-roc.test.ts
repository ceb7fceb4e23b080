import { describe, expect, it } from "vitest";
import { Random } from "../tensor/random.ts";
import { areaUnderRoc } from "./area-under-roc.ts";

describe("areaUnderRoc", () => {
  it("gives hand-computed areas", () => {
    // 3 x 2 pairs: 0.8 and 0.6 beat both negatives, 0.3 beats 0.1 alone
    expect(areaUnderRoc([0.8, 0.5, 0.6, 0.1, 0.3], [1, 0, 1, 0, 1])).toBeCloseTo(5 / 6, 14);
    // 2 x 2 pairs: 2 wins over 1 and ties with 2, 1 ties with 1 and loses
    expect(areaUnderRoc([2, 2, 1, 1], [1, 0, 1, 0])).toBe((1 + 0.5 + 0.5) / 4);
    expect(areaUnderRoc([7, 7, 7], [1, 0, 0])).toBe(0.5);
    expect(areaUnderRoc([-3, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY], [0, 0, 1])).toBe(1);
    expect(areaUnderRoc([1, 0], [0, 1])).toBe(0);
  });

  it("counts won and tied pairs", () => {
    const random = new Random(3);
    const scores = Array.from({ length: 300 }, () => random.integer(40));
    const labels = scores.map((score) => (random.integer(60) < score ? 1 : 0));
    let won = 0;
    let pairs = 0;
    for (const [i, a] of scores.entries()) {
      for (const [j, b] of scores.entries()) {
        if (labels[i] !== 1 || labels[j] !== 0) continue;
        pairs++;
        won += a > b ? 1 : a === b ? 0.5 : 0;
      }
    }
    expect(areaUnderRoc(scores, labels)).toBeCloseTo(won / pairs, 12);
  });

  it("refuses what has no area", () => {
    expect(() => areaUnderRoc([1, 2], [1, 1])).toThrow(/examples of both labels; got 2 positive and 0 negative/);
    expect(() => areaUnderRoc([1, Number.NaN], [1, 0])).toThrow(/score 1 is NaN/);
    expect(() => areaUnderRoc([1, 2], [1, 2])).toThrow(/label 1 is 2/);
    expect(() => areaUnderRoc([1, 2], [1])).toThrow(/a label for each score; got 1 for 2/);
    expect(() => areaUnderRoc([], [])).toThrow(/both labels/);
  });
});
