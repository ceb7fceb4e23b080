import { describe, expect, it } from "vitest";
import { ConfigError } from "../tensor/errors.ts";
import { type GenerationOptions, resolveGenerationOptions } from "./options.ts";

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
    expect(resolveGenerationOptions({}, { max_length: 20, top_k: null }, {})).toMatchObject({
      maxNewTokens: 128,
      topK: 0,
    });
    expect(resolveGenerationOptions({}, { max_length: 20, max_new_tokens: 9 }, {}).maxNewTokens).toBe(9);
    expect(resolveGenerationOptions({ logprobs: true, stop: "a" }, null, {})).toMatchObject({
      logprobs: 0,
      stop: ["a"],
    });
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
      [{ logprobs: false }, /logprobs must be a whole number from 0; got false/],
      [{ repetitionPenalty: 0 }, /repetitionPenalty must be a number above 0; got 0/],
      [{ signal: 3 }, /signal must be an AbortSignal; got 3/],
      [{ state: new Uint8Array(2) }, /state must be a state that generate, stream or loadState gave/],
      [{ stop: ["a", ""] }, /stop must be text/],
      [null, /options must be an object; got null/],
    ];
    for (const [options, message] of cases) {
      const resolving = (): unknown => resolveGenerationOptions(options as GenerationOptions, undefined, {});
      expect(resolving).toThrow(ConfigError);
      expect(resolving).toThrow(message);
    }
  });

  it("says which key of the model's file cannot be", () => {
    const cases: [unknown, RegExp][] = [
      [{ top_p: 3 }, /generation_config.json top_p must be a number above 0 to 1; got 3/],
      [{ max_new_tokens: -1 }, /generation_config.json max_new_tokens must be a whole number from 0; got -1/],
      [{ eos_token_id: "x" }, /generation_config.json eos_token_id must be an id or a list of ids; got \[x\]/],
      [{ do_sample: "no" }, /generation_config.json do_sample must be true or false; got "no"/],
      [[], /generation_config.json must be an object/],
    ];
    for (const [config, message] of cases) {
      expect(() => resolveGenerationOptions({}, config, {})).toThrow(message);
    }
  });
});
