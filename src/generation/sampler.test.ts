import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type GenerationOptions, resolveGenerationOptions } from "./options.ts";
import { createSampler } from "./sampler.ts";

const place = { vocabSize: 5, counter: 0, stream: 0 };
const resolve = (options: GenerationOptions) => resolveGenerationOptions({ seed: 7, ...options }, undefined, {});
const logits = (...values: number[]): Float32Array => Float32Array.from(values);
const probabilities = [0.5, 0.2, 0.15, 0.1, 0.05];
const drawn = logits(...probabilities.map(Math.log));

/** How often each id comes in many draws. */
function frequencies(options: GenerationOptions, count = 40_000): number[] {
  const sampler = createSampler(resolve(options), place);
  const times = new Array<number>(5).fill(0);
  for (let i = 0; i < count; i++) times[sampler.next(drawn.slice(), []).id]!++;
  return times.map((n) => n / count);
}

/** Largest distance from expected probabilities; four standard deviations of 40,000 draws are 0.01. */
function distance(actual: number[], expected: number[]): number {
  return Math.max(...actual.map((p, i) => Math.abs(p - expected[i]!)));
}

describe("createSampler", () => {
  it("draws every token as often as its probability says", () => {
    expect(distance(frequencies({}), probabilities)).toBeLessThan(0.01);
  });

  it("sharpens and flattens with temperature", () => {
    for (const temperature of [0.5, 2]) {
      const powers = probabilities.map((p) => p ** (1 / temperature));
      const total = powers.reduce((a, b) => a + b);
      expect(
        distance(
          frequencies({ temperature }),
          powers.map((p) => p / total),
        ),
      ).toBeLessThan(0.01);
    }
  });

  it("keeps the top k, the top p, or what reaches min p, and scales the rest up", () => {
    const firstThree = [0.5, 0.2, 0.15, 0, 0].map((p) => p / 0.85);
    expect(distance(frequencies({ topK: 3 }), firstThree)).toBeLessThan(0.01);
    expect(distance(frequencies({ topP: 0.8 }), firstThree)).toBeLessThan(0.01);
    expect(distance(frequencies({ minP: 0.25 }), firstThree)).toBeLessThan(0.01);
    expect(frequencies({ topP: 1e-9 }, 100)).toEqual([1, 0, 0, 0, 0]);
    expect(frequencies({ topK: 1 }, 100)).toEqual([1, 0, 0, 0, 0]);
    expect(frequencies({ minP: 1 }, 100)).toEqual([1, 0, 0, 0, 0]);
  });

  it("takes the first of the largest at temperature 0", () => {
    const sampler = createSampler(resolve({ temperature: 0 }), place);
    expect(sampler.next(logits(0, 3, 1, 3, 2), []).id).toBe(1);
    expect(sampler.counter).toBe(0);
  });

  it("goes on exactly where another stopped, and rows draw independently", () => {
    const ids = (sampler: ReturnType<typeof createSampler>, count: number): number[] =>
      Array.from({ length: count }, () => sampler.next(drawn.slice(), []).id);
    const first = createSampler(resolve({}), place);
    const all = ids(createSampler(resolve({}), place), 100);
    expect(ids(first, 37)).toEqual(all.slice(0, 37));
    expect(ids(createSampler(resolve({}), { ...place, counter: first.counter }), 63)).toEqual(all.slice(37));
    expect(ids(createSampler(resolve({}), { ...place, stream: 1 }), 100)).not.toEqual(all);
  });

  it("adds bias, then divides positive and multiplies negative logits of recent tokens", () => {
    const options = { temperature: 0, repetitionPenalty: 2 };
    const next = (given: GenerationOptions, values: number[], recent: number[]): number =>
      createSampler(resolve(given), place).next(logits(...values), recent).id;
    expect(next(options, [3, 2, 0, 0, 0], [0])).toBe(1); // 3 / 2 < 2
    expect(next(options, [3, 1, 0, 0, 0], [0, 0])).toBe(0); // 3 / 2 > 1, once however often it came
    expect(next(options, [-1, -1.5, -9, -9, -9], [0])).toBe(1); // -1 * 2 < -1.5
    expect(next({ temperature: 0, logitBias: { 4: 10 } }, [3, 2, 0, 0, 0], [])).toBe(4);
    expect(next({ temperature: 0, logitBias: { 0: -Infinity } }, [3, 2, 0, 0, 0], [])).toBe(1);
    const processLogits = (values: Float32Array) => values.map((x) => -x);
    expect(next({ temperature: 0, processLogits }, [3, 2, 0, 1, 1], [])).toBe(2);
  });

  it("gives log-probabilities of the logits as they came, with the likeliest alternatives", () => {
    const sampler = createSampler(resolve({ temperature: 0, logprobs: 2, logitBias: { 3: 100 } }), place);
    const { id, logprob, top } = sampler.next(drawn.slice(), []);
    expect(id).toBe(3);
    expect(logprob).toBeCloseTo(Math.log(0.1), 6);
    expect(top!.map((entry) => entry.id)).toEqual([0, 1]);
    expect(top![1]!.logprob).toBeCloseTo(Math.log(0.2), 6);
  });

  it("finds the top k of any logits, equals by id", () => {
    const values = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 60 }), (given, count) => {
        const sorted = given.map((_, i) => i).sort((a, b) => given[b]! - given[a]! || a - b);
        const { top } = createSampler(resolve({ temperature: 0, logprobs: count }), place).next(logits(...given), []);
        expect(top!.map(({ id }) => id)).toEqual(sorted.slice(0, count));
      }),
    );
  });

  it("bans and forces tokens with an infinite bias, whatever their logits are", () => {
    for (const temperature of [0, 1]) {
      const next = (logitBias: Record<number, number>, ...values: number[]): number =>
        createSampler(resolve({ temperature, logitBias }), place).next(logits(...values), []).id;
      expect(next({ 2: Infinity }, 9, 9, -Infinity, 9)).toBe(2);
      expect(next({ 0: -Infinity, 1: -Infinity }, 50, 50, 0)).toBe(2);
    }
    expect(() => createSampler(resolve({ logitBias: { 5: 1 } }), place)).toThrow(/below the vocabulary's 5; got 5/);
  });

  it("never chooses an id beyond the vocabulary", () => {
    for (const temperature of [0, 5]) {
      const sampler = createSampler(resolve({ temperature }), { ...place, vocabSize: 2 });
      for (let i = 0; i < 50; i++) expect(sampler.next(logits(1, 2, 9, 9), []).id).toBeLessThan(2);
    }
  });

  it("shows processLogits the logits before any penalty, and the recent ids", () => {
    const seen: unknown[] = [];
    const processLogits = (values: Float32Array, recent: readonly number[]): undefined => {
      seen.push([...values], [...recent]);
      values[2] = 8;
    };
    const options = { temperature: 0, repetitionPenalty: 3, logitBias: { 2: -1 }, processLogits };
    // (8 - 1) / 3 < 3: bias comes before the penalty
    expect(createSampler(resolve(options), place).next(logits(3, 0, 1), [2]).id).toBe(0);
    expect(seen).toEqual([[3, 0, 1], [2]]);
  });

  it("refuses NaN, overflow, and logits that allow no token", () => {
    for (const temperature of [0, 1]) {
      const sampler = createSampler(resolve({ temperature, logprobs: true }), place);
      expect(() => sampler.next(logits(0, Number.NaN), [])).toThrow(/NaN for id 1; the weights/);
      expect(() => sampler.next(logits(Infinity, 0), [])).toThrow(/Infinity for id 0; the weights/);
      expect(() => sampler.next(logits(-Infinity, -Infinity), [])).toThrow(/every logit is -Infinity/);
      expect(sampler.next(logits(0, -Infinity), [])).toEqual({ id: 0, logprob: 0, top: [] });
    }
  });

  it("refuses what processLogits may not give", () => {
    const cases: [unknown, RegExp][] = [
      [new Float32Array(1), /must give 2 logits in a Float32Array, or nothing; got 1 of them/],
      [[0, 1], /or nothing; got object/],
      [logits(0, Number.NaN), /NaN for id 1/],
    ];
    for (const [given, message] of cases) {
      const sampler = createSampler(resolve({ processLogits: () => given as Float32Array }), place);
      expect(() => sampler.next(logits(0, 1), [])).toThrow(message);
    }
  });
});
