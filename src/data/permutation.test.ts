import { describe, expect, it } from "vitest";
import { drawnOffset, permuted } from "./permutation.ts";

const order = (size: number, seed: number, epoch: number): number[] =>
  Array.from({ length: size }, (_, i) => permuted(i, size, { seed, epoch }));

describe("permuted", () => {
  it("reaches every number once, for every small size and around squares", () => {
    for (const size of [...Array.from({ length: 70 }, (_, i) => i + 1), 1023, 1024, 1025, 1056, 1057]) {
      const reached = order(size, 5, size).sort((a, b) => a - b);
      expect(reached).toEqual(Array.from({ length: size }, (_, i) => i));
    }
  });

  it("gives all orders of four evenly", () => {
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 2400; epoch++) {
      const name = order(4, 1, epoch).join("");
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    // 100 of each are expected, with a standard deviation of 10
    expect(counts.size).toBe(24);
    expect(Math.min(...counts.values())).toBeGreaterThan(55);
    expect(Math.max(...counts.values())).toBeLessThan(145);
  });

  it("puts neighbours far apart: the mean distance is a third of the range", () => {
    const places = order(3000, 2, 0);
    const distance = places.slice(1).reduce((sum, place, i) => sum + Math.abs(place - places[i]!), 0) / 2999;
    // the distance has standard deviation 3000 / sqrt(18), its mean over 2999 pairs about 13
    expect(Math.abs(distance - 1000)).toBeLessThan(80);
  });

  it("differs by seed and epoch", () => {
    const fixedPoints = (a: number[], b: number[]): number => a.filter((place, i) => place === b[i]).length;
    // one place in 500 agrees by chance: 1 is expected, with a standard deviation of 1
    expect(fixedPoints(order(500, 1, 0), order(500, 1, 1))).toBeLessThan(8);
    expect(fixedPoints(order(500, 1, 0), order(500, 2, 0))).toBeLessThan(8);
    expect(order(500, 1, 0)).toEqual(order(500, 1, 0));
  });

  it("works for more numbers than 32 bits hold", () => {
    const size = 2 ** 53 - 1;
    const reached = order(1000, 3, 0).map((_, i) => permuted(size - 1 - i, size, { seed: 3, epoch: 0 }));
    expect(new Set(reached).size).toBe(1000);
    expect(reached.every((place) => Number.isSafeInteger(place) && place >= 0 && place < size)).toBe(true);
    const mean = reached.reduce((sum, place) => sum + place / size, 0) / 1000;
    // standard deviation 0.29 / sqrt(1000)
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.05);
  });
});

describe("drawnOffset", () => {
  it("reaches all numbers below the bound evenly", () => {
    const counts = new Array<number>(5).fill(0);
    for (let epoch = 0; epoch < 1000; epoch++) counts[drawnOffset(5, { seed: 9, epoch })]!++;
    // 200 of each are expected, with a standard deviation of 13
    expect(counts).toHaveLength(5);
    expect(Math.min(...counts)).toBeGreaterThan(135);
    expect(Math.max(...counts)).toBeLessThan(265);
  });
});
