import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerationOptions, GenerationResult } from "../src/generation/index.ts";
import type { CausalLM } from "../src/pretrained/index.ts";
import { bytesOf, openWarm } from "./kit/small-model.ts";

interface Reference {
  readonly greedy: readonly { prompt: string; prompt_ids: number[]; ids: number[]; text: string }[];
}

const greedy = { temperature: 0, repetitionPenalty: 1, stopTokenIds: [] } satisfies GenerationOptions;
const sampled = { temperature: 1, topP: 0.9, repetitionPenalty: 1.1, seed: 7, stopTokenIds: [] };

let lm: CausalLM;
let used: number;
let reference: Reference;
let ids: Int32Array;

beforeAll(async () => {
  lm = await openWarm("storybook-11m", { device: "wasm", threads: 2 });
  used = lm.device.memory().used;
  reference = JSON.parse((await bytesOf("test/fixtures/storybook-11m/reference.json")).toString());
  const bytes = await bytesOf("test/fixtures/storybook-11m/val.ids.i32");
  ids = new Int32Array(Uint8Array.from(bytes).buffer);
});

afterAll(() => lm.dispose());

/** A result without its state, which is freed. */
function plain({ state, ...rest }: GenerationResult): Omit<GenerationResult, "state"> {
  state.dispose();
  return rest;
}

const complete = async (prompt: string | number[], options: GenerationOptions) =>
  plain(await lm.generate(prompt, options));

/** How far the likeliest two tokens of every step lie apart. */
const leads = ({ logprobs }: Omit<GenerationResult, "state">): number[] =>
  logprobs!.map(({ top }) => top[0]!.logprob - top[1]!.logprob);

describe("generate with the shipped model", () => {
  it("continues greedily as the reference code did, up to a tie", async () => {
    let equal = 0;
    for (const { prompt, prompt_ids, ids: all, text } of reference.greedy) {
      expect(lm.tokenizer.encode(prompt)).toEqual(prompt_ids);
      const expected = all.slice(prompt_ids.length);
      const result = await complete(prompt, { ...greedy, maxNewTokens: expected.length, logprobs: 2 });
      const differs = result.tokens.findIndex((id, i) => id !== expected[i]);
      if (differs < 0) expect(prompt + result.text).toBe(text);
      else expect(leads(result)[differs]).toBeLessThan(1e-3);
      equal += differs < 0 ? expected.length : differs;
    }
    expect(equal).toBeGreaterThan(40);
  });

  it("gives in a batch exactly what each prompt gives alone, whatever its length", async () => {
    const long = lm.tokenizer.decode(Array.from(ids.subarray(1, 400)));
    const prompts = ["Once upon a time", long, "The", "The little girl looked up at the sky and"];
    for (const kind of [greedy, sampled]) {
      const options = { ...kind, maxNewTokens: 12, logprobs: 2 };
      const together = await lm.generate(prompts, options);
      for (const [row, prompt] of prompts.entries()) {
        const { position } = together[row]!.state;
        const batched = plain(together[row]!);
        const alone = await complete(prompt, options);
        expect(Math.min(...leads(alone))).toBeGreaterThan(1e-4);
        expect(batched.tokens).toEqual(alone.tokens);
        expect(batched.text).toBe(alone.text);
        expect(batched.usage).toEqual(alone.usage);
        // the last token has not been fed
        expect(position).toBe(alone.usage.promptTokens + 11);
        for (const [i, { logprob }] of alone.logprobs!.entries()) {
          expect(Math.abs(batched.logprobs![i]!.logprob - logprob)).toBeLessThan(1e-4);
        }
      }
    }
    expect(lm.device.memory().used).toBe(used);
  });

  it("goes on alone where a row of a batch stopped", async () => {
    const prompts = ["Once upon a time", "The", "The"];
    const whole = (await lm.generate(prompts, { ...sampled, maxNewTokens: 16 })).map(plain);
    expect(whole[1]!.tokens).not.toEqual(whole[2]!.tokens);
    const halves = await lm.generate(prompts, { ...sampled, maxNewTokens: 7 });
    for (const [row, { tokens, text, state }] of halves.entries()) {
      const rest = plain(await lm.generate("", { ...sampled, maxNewTokens: 9, state }));
      expect([...tokens, ...rest.tokens]).toEqual(whole[row]!.tokens);
      expect(text + rest.text).toBe(whole[row]!.text);
      state.dispose();
    }
    expect(lm.device.memory().used).toBe(used);
  });

  it("repeats itself with a seed, and not with another", async () => {
    const options = { ...sampled, maxNewTokens: 24 };
    const first = await complete("Once upon a time", options);
    expect(await complete("Once upon a time", options)).toEqual(first);
    expect((await complete("Once upon a time", { ...options, seed: 8 })).tokens).not.toEqual(first.tokens);
  });

  it("streams what generate gives, and the last chunk says why and how much", async () => {
    for (const options of [
      { ...sampled, maxNewTokens: 20 },
      { ...greedy, maxNewTokens: 20, stop: "captain" },
    ]) {
      const result = await complete("Once upon a time", options);
      const chunks = [];
      for await (const chunk of lm.stream("Once upon a time", options)) chunks.push(chunk);
      expect(chunks.map(({ text }) => text).join("")).toBe(result.text);
      expect(chunks.flatMap(({ tokens }) => tokens)).toEqual(result.tokens);
      const last = chunks.pop()!;
      expect(last).toMatchObject({ text: "", tokens: [], finishReason: result.finishReason, usage: result.usage });
      expect(chunks.every(({ finishReason, state, tokens }) => !finishReason && !state && tokens.length === 1)).toBe(
        true,
      );
      last.state!.dispose();
    }
    expect(lm.device.memory().used).toBe(used);
  });

  it("stops at strings, at tokens and at the budget, and says which", async () => {
    const { prompt, prompt_ids, ids: all } = reference.greedy[0]!;
    const expected = all.slice(prompt_ids.length);
    const run = (options: GenerationOptions) => complete(prompt, { ...greedy, maxNewTokens: 40, ...options });
    const free = await run({});
    expect(free.finishReason).toBe("length");
    expect(free.usage).toEqual({ promptTokens: prompt_ids.length, completionTokens: 40 });
    expect(lm.tokenizer.decode(free.tokens)).toBe(free.text);

    const string = await run({ stop: ["no such words", "captain"] });
    expect(string.finishReason).toBe("stop-string");
    expect(string.text).toBe(free.text.slice(0, free.text.indexOf("captain")));
    expect(string.tokens).toEqual(expected.slice(0, string.usage.completionTokens));

    const token = await run({ stopTokenIds: [expected[9]!] });
    const end = expected.indexOf(expected[9]!) + 1;
    expect(token).toMatchObject({ finishReason: "stop-token", tokens: expected.slice(0, end) });
    expect(token.text).toBe(lm.tokenizer.decode(expected.slice(0, end - 1)));
    expect(token.usage.completionTokens).toBe(end);
  });

  it("runs the prompt alone with a budget of none, and goes on from there", async () => {
    const nothing = await lm.generate("Once upon a time", { ...greedy, maxNewTokens: 0 });
    expect(nothing).toMatchObject({ text: "", tokens: [], finishReason: "length" });
    expect(nothing.usage).toEqual({ promptTokens: 4, completionTokens: 0 });
    expect(nothing.state.position).toBe(4);
    const rest = await complete("Once upon a time", { ...greedy, maxNewTokens: 8 });
    const { state } = nothing;
    expect(plain(await lm.generate("", { ...greedy, maxNewTokens: 8, state })).tokens).toEqual(rest.tokens);
    state.dispose();
  });

  it("gives log-probabilities of the model's own logits", async () => {
    const { tokens, logprobs } = await complete("The", { ...greedy, maxNewTokens: 3, logprobs: 4 });
    const prompt = lm.tokenizer.encode("The");
    const { logits, state } = await lm.forward([...prompt, ...tokens.slice(0, -1)], { logits: "all" });
    state.dispose();
    const [, , width] = logits.shape as [number, number, number];
    tokens.forEach((id, i) => {
      const row = Array.from(logits.subarray((prompt.length - 1 + i) * width, (prompt.length + i) * width));
      const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
      const best = row.map((_, other) => other).sort((a, b) => row[b]! - row[a]!);
      expect(logprobs![i]!.top.map((entry) => entry.id)).toEqual(best.slice(0, 4));
      expect(logprobs![i]!.id).toBe(id);
      expect(logprobs![i]!.logprob).toBeCloseTo(row[id]! - total, 4);
    });
    expect((await complete("The", { ...greedy, maxNewTokens: 1 })).logprobs).toBeUndefined();
  });

  it("obeys logitBias and processLogits", async () => {
    const run = (options: GenerationOptions) => complete("The", { ...sampled, maxNewTokens: 5, ...options });
    expect((await run({ logitBias: { 300: Infinity } })).tokens).toEqual([300, 300, 300, 300, 300]);
    const usual = (await complete("The", { ...greedy, maxNewTokens: 1 })).tokens[0]!;
    const banned = await complete("The", { ...greedy, maxNewTokens: 1, logitBias: { [usual]: -Infinity } });
    expect(banned.tokens[0]).not.toBe(usual);
    const recents: number[][] = [];
    const processLogits = (logits: Float32Array, recent: readonly number[]) => {
      recents.push([...recent]);
      return logits.map((_, id) => (id === 400 + recents.length ? 1 : 0));
    };
    const made = await complete("The", { ...greedy, maxNewTokens: 3, processLogits });
    expect(made.tokens).toEqual([401, 402, 403]);
    const prompt = lm.tokenizer.encode("The");
    expect(recents).toEqual([prompt, [...prompt, 401], [...prompt, 401, 402]]);
    await expect(run({ logitBias: { 8192: 1 } })).rejects.toMatchObject({ code: "CONFIG" });
    await expect(
      run({
        processLogits: () => {
          throw new RangeError("mine");
        },
      }),
    ).rejects.toThrow(RangeError);
    expect(lm.device.memory().used).toBe(used);
  });
});

describe("evaluate with the shipped model", () => {
  it("has the loss that the reference device computes in float64", async () => {
    // `mamba eval storybook-11m --ids val.ids.i32 --device reference`, which takes minutes
    const { loss, perplexity, predictions, windows } = await lm.evaluate(ids);
    expect(Math.abs(loss - 4.49610054176235)).toBeLessThan(1e-5);
    expect(perplexity).toBeCloseTo(Math.exp(loss), 10);
    expect({ predictions, windows }).toEqual({ predictions: 4096, windows: 4 });

    const slow = await openWarm("storybook-11m", { device: "reference" });
    const options = { window: 20, limit: 50, accuracy: true };
    const expected = await slow.evaluate(ids, options);
    const actual = await lm.evaluate(ids, options);
    expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(1e-5);
    expect(actual.accuracy).toBe(expected.accuracy);
    slow.dispose();
    expect(lm.device.memory().used).toBe(used);
  });

  it("counts right predictions without changing the loss", async () => {
    const counted = await lm.evaluate(ids.subarray(0, 301), { window: 300, accuracy: true });
    const { loss } = await lm.evaluate(ids.subarray(0, 301), { window: 300 });
    expect(Math.abs(counted.loss - loss)).toBeLessThan(1e-5);
    const { logits, state } = await lm.forward(ids.subarray(0, 300), { logits: "all" });
    state.dispose();
    const width = logits.shape[2]!;
    let right = 0;
    for (let t = 0; t < 300; t++) {
      const row = logits.subarray(t * width, (t + 1) * width);
      if (row.every((logit) => logit <= row[ids[t + 1]!]!)) right++;
    }
    expect(right).toBeGreaterThan(30);
    expect(counted.accuracy).toBeCloseTo(right / 300, 12);
  });
});
