import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeSafetensors } from "../src/checkpoints/index.ts";
import type { GenerationOptions, GenerationResult, GenerationState } from "../src/generation/index.ts";
import type { CausalLM } from "../src/pretrained/index.ts";
import { StateError } from "../src/tensor/errors.ts";
import { fixtureFiles, openWarm } from "./kit/small-model.ts";

const options = {
  temperature: 1,
  repetitionPenalty: 1.2,
  seed: 3,
  stopTokenIds: [],
  logprobs: 1,
} satisfies GenerationOptions;
const prompt = [5, 17, 50, 2, 2, 41];
const total = 20;

/** Generates and frees the state that was gone on from. */
async function goOn(lm: CausalLM, state: GenerationState, maxNewTokens: number): Promise<GenerationResult> {
  const result = await lm.generate([], { ...options, maxNewTokens, state });
  state.dispose();
  return result;
}

/** A file that is no state, whatever its metadata says. */
const forged = (metadata: Record<string, string>): Uint8Array =>
  encodeSafetensors([{ name: "x", dtype: "float32", shape: [1], data: new Float32Array(1) }], metadata);

describe.each([
  ["reference", "hf-mamba-tied"],
  ["reference", "hf-mamba-untied-bias"],
  ["wasm", "hf-mamba-tied"],
  ["wasm", "hf-falcon-mamba"],
  ["wasm", "hf-mamba-untied-bias"],
] as const)("a state on %s of %s", (device, name) => {
  let lm: CausalLM;
  let used: number;

  beforeAll(async () => {
    lm = await openWarm(await fixtureFiles(name), { device, threads: 2 });
    used = lm.device.memory().used;
  });

  afterAll(() => {
    expect(lm.device.memory().used).toBe(used);
    lm.dispose();
  });

  it("saved and loaded at any place gives the rest of one long run, to the bit", async () => {
    const whole = await lm.generate(prompt, { ...options, maxNewTokens: total });
    for (const cut of [0, 1, 9]) {
      const begun = await lm.generate(prompt, { ...options, maxNewTokens: cut });
      expect(begun.state.position).toBe(prompt.length + Math.max(0, cut - 1));
      const bytes = await begun.state.serialize();
      begun.state.dispose();
      const rest = await goOn(lm, await lm.loadState(bytes), total - cut);
      expect([...begun.tokens, ...rest.tokens]).toEqual(whole.tokens);
      expect([...begun.logprobs!, ...rest.logprobs!]).toEqual(whole.logprobs);
      expect(begun.text + rest.text).toBe(whole.text);
      expect(await rest.state.serialize()).toEqual(await whole.state.serialize());
      rest.state.dispose();
    }
    whole.state.dispose();
  });

  it("stays as it is while others go on from it and from its clones", async () => {
    const { state } = await lm.generate(prompt, { ...options, maxNewTokens: 4 });
    const before = await state.serialize();
    const clone = state.clone();
    const first = await lm.generate([], { ...options, maxNewTokens: 8, state });
    const second = await lm.generate([], { ...options, maxNewTokens: 8, state });
    const third = await goOn(lm, clone, 8);
    expect(second.tokens).toEqual(first.tokens);
    expect(third.tokens).toEqual(first.tokens);
    expect(await state.serialize()).toEqual(before);
    for (const made of [state, first.state, second.state, third.state]) made.dispose();
    state.dispose();
    await expect(lm.generate([], { ...options, state })).rejects.toMatchObject({ code: "DISPOSED" });
  });

  it("with more of a prompt is the whole prompt", async () => {
    const { state } = await lm.generate(prompt.slice(0, 4), { ...options, maxNewTokens: 0 });
    const rest = await lm.generate(prompt.slice(4), { ...options, maxNewTokens: total, state });
    const whole = await lm.generate(prompt, { ...options, maxNewTokens: total });
    expect(rest.tokens).toEqual(whole.tokens);
    expect(rest.state.position).toBe(whole.state.position);
    for (const made of [state, rest.state, whole.state]) made.dispose();
  });
});

describe("a saved state", () => {
  let one: CausalLM;
  let two: CausalLM;
  let slow: CausalLM;
  let other: CausalLM;
  let bytes: Uint8Array;

  beforeAll(async () => {
    const files = await fixtureFiles("hf-mamba-tied");
    one = await openWarm(files, { device: "wasm", threads: 1 });
    two = await openWarm(files, { device: "wasm", threads: 2 });
    slow = await openWarm(files, { device: "reference" });
    other = await openWarm(await fixtureFiles("hf-falcon-mamba"), { device: "wasm", threads: 1 });
    const { state } = await two.generate(prompt, { ...options, maxNewTokens: 9 });
    bytes = await state.serialize();
    state.dispose();
  });

  afterAll(() => {
    for (const lm of [one, two, slow, other]) lm.dispose();
  });

  it("goes on to the bit with another number of threads", async () => {
    const [a, b] = [await goOn(one, await one.loadState(bytes), 11), await goOn(two, await two.loadState(bytes), 11)];
    expect(a.tokens).toEqual(b.tokens);
    expect(a.logprobs).toEqual(b.logprobs);
    expect(await a.state.serialize()).toEqual(await b.state.serialize());
    a.state.dispose();
    b.state.dispose();
  });

  it("goes on across backends, both ways, within 1e-5", async () => {
    const { state } = await slow.generate(prompt, { ...options, maxNewTokens: 9 });
    const slowBytes = await state.serialize();
    state.dispose();
    const next = [11, 60, 3];
    const results: Float32Array[] = [];
    for (const lm of [two, slow]) {
      for (const from of [bytes, slowBytes]) {
        const loaded = await lm.loadState(from);
        const { logits, state } = await lm.forward(next, { state: loaded.model as never, logits: "all" });
        results.push(logits);
        state.dispose();
        loaded.dispose();
      }
    }
    const most = Math.max(...results[3]!.map(Math.abs));
    for (const logits of results) {
      logits.forEach((logit, i) => {
        expect(Math.abs(logit - results[3]![i]!)).toBeLessThan(1e-5 * most);
      });
    }
  });

  it("is refused by another model, and on another device before it is saved", async () => {
    const used = other.device.memory().used;
    await expect(other.loadState(bytes)).rejects.toThrow(/must belong to this model/);
    await expect(other.loadState(bytes)).rejects.toBeInstanceOf(StateError);
    const state = await two.loadState(bytes);
    await expect(other.generate([], { ...options, state })).rejects.toThrow(/must belong to this model/);
    await expect(one.generate([], { ...options, state })).rejects.toThrow(/must be on the model's device/);
    await expect(two.generate(["a", "b"], { ...options, state })).rejects.toMatchObject({ code: "CONFIG" });
    state.dispose();
    expect(other.device.memory().used).toBe(used);
  });

  it("is refused with any byte changed, cut short, or made up", async () => {
    const used = two.device.memory().used;
    const refused = (given: Uint8Array) => expect(two.loadState(given)).rejects.toBeInstanceOf(StateError);
    for (let at = 0; at < bytes.length; at += at < 2000 ? 13 : 997) {
      const changed = bytes.slice();
      changed[at]! ^= 1;
      await refused(changed);
    }
    for (const length of [0, 7, 8, 100, bytes.length - 1]) await refused(bytes.slice(0, length));
    await refused(forged({}));
    await refused(forged({ format: "mamba.ts state", version: "2" }));
    await refused(forged({ format: "mamba.ts state", version: "1" }));
    expect(two.device.memory().used).toBe(used);
  });
});
