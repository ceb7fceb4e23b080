import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type GenerationOptions, resolveGenerationOptions } from "./options.ts";
import { createSampler } from "./sampler.ts";
import { StopMatcher } from "./stop.ts";

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
    expect(next(options, [3, 2, 0, 0, 0], [0, 0])).toBe(1); // 3 / 2 < 2, once however often it came
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

  it("refuses NaN, and logits that allow no token", () => {
    const sampler = createSampler(resolve({}), place);
    expect(() => sampler.next(logits(0, Number.NaN), [])).toThrow(/NaN for id 1; the weights/);
    expect(() => sampler.next(logits(-Infinity, -Infinity), [])).toThrow(/every logit is -Infinity/);
  });
});

describe("resolveGenerationOptions", () => {
  it("takes the caller's options, then the model's, then the defaults", () => {
    const config = { temperature: 0.7, top_k: 40, eos_token_id: [2, 3], max_new_tokens: 50, do_sample: true };
    const resolved = resolveGenerationOptions({ topK: 5 }, config, { eosTokenId: 0 });
    expect(resolved).toMatchObject({ temperature: 0.7, topK: 5, topP: 1, maxNewTokens: 50, stopTokenIds: [2, 3, 0] });
    expect(resolveGenerationOptions({ stopTokenIds: [] }, config, { eosTokenId: 0 }).stopTokenIds).toEqual([]);
    const greedy = { do_sample: false, temperature: 0.7 };
    expect(resolveGenerationOptions({}, greedy, {}).temperature).toBe(0);
    expect(resolveGenerationOptions({ temperature: 1 }, greedy, {}).temperature).toBe(1);
    expect(resolveGenerationOptions({}, undefined, {})).toMatchObject({ maxNewTokens: 128, temperature: 1, stop: [] });
  });

  it("says which option cannot be, what came and what may come", () => {
    const cases: [unknown, RegExp][] = [
      [{ temperature: -1 }, /temperature must be a number from 0; got -1/],
      [{ temperature: Number.NaN }, /temperature must be a number from 0; got NaN/],
      [{ topP: 0 }, /topP must be a number above 0 to 1; got 0/],
      [{ topK: 1.5 }, /topK must be a whole number from 0; got 1.5/],
      [{ maxNewTokens: "3" }, /maxNewTokens must be a whole number from 0; got "3"/],
      [{ stop: "" }, /stop must be text or a list of texts, none of them empty/],
      [{ stopTokenIds: [-1] }, /stopTokenIds must be a list of ids; got \[-1\]/],
      [{ logitBias: { x: 1 } }, /logitBias must have ids as keys; got "x"/],
      [{ logitBias: { 1: "2" } }, /logitBias\[1\] must be a number/],
      [{ max_tokens: 3 }, /got max_tokens; did you mean maxNewTokens\?/],
      [{ topk: 3 }, /got topk; did you mean topK\?/],
      [{ processLogits: 3 }, /processLogits must be a function; got 3/],
    ];
    for (const [options, message] of cases) {
      expect(() => resolveGenerationOptions(options as GenerationOptions, undefined, {})).toThrow(message);
    }
    expect(() => resolveGenerationOptions({}, { top_p: 3 }, {})).toThrow(/generation_config.json top_p must be/);
  });
});

describe("StopMatcher", () => {
  it("cuts where a search of the whole text would, however the text is cut into pieces", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 24 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(letters, stops, fc.array(fc.integer({ min: 1, max: 4 })), (text, ends, sizes) => {
        const matcher = new StopMatcher(ends);
        let out = "";
        let stopped = false;
        for (let at = 0, i = 0; at < text.length && !stopped; i++) {
          const size = sizes[i % (sizes.length || 1)] ?? 1;
          const result = matcher.push(text.slice(at, at + size));
          out += result.text;
          stopped = result.stopped;
          at += size;
        }
        if (!stopped) out += matcher.flush();
        // the first stop to be complete ends the text, at the earliest place that is known then
        expect(ends.some((end) => out.includes(end))).toBe(false);
        expect(text.startsWith(out)).toBe(true);
        expect(stopped).toBe(ends.some((end) => text.includes(end)));
        if (!stopped) expect(out).toBe(text);
        else expect(ends.some((end) => text.startsWith(end, out.length))).toBe(true);
      }),
    );
  });

  it("holds back only what may begin a stop string", () => {
    const matcher = new StopMatcher(["###"]);
    expect(matcher.push("one #")).toEqual({ text: "one ", stopped: false });
    expect(matcher.push("# two")).toEqual({ text: "## two", stopped: false });
    expect(matcher.push("##")).toEqual({ text: "", stopped: false });
    expect(matcher.push("# three")).toEqual({ text: "", stopped: true });
    expect(matcher.flush()).toBe("");
  });
});
