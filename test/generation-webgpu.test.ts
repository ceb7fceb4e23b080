import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerationOptions, GenerationResult } from "../src/generation/index.ts";
import { openDevice } from "../src/ops/devices.ts";
import type { CausalLM } from "../src/pretrained/index.ts";
import type { Device } from "../src/tensor/device.ts";
import { fixtureFiles, openWarm } from "./kit/small-model.ts";
import { useSoftwareGpu } from "./kit/software-gpu.ts";
import { fastBackends } from "./kit/test-op.ts";

const greedy = { temperature: 0, repetitionPenalty: 1, stopTokenIds: [], maxNewTokens: 24 } satisfies GenerationOptions;
/** Looks at every logit, so that tokens are chosen on the host. */
const onHost = { processLogits: () => undefined } satisfies GenerationOptions;

describe.runIf(fastBackends.includes("webgpu"))("tokens chosen on the GPU", () => {
  let device: Device;
  let lm: CausalLM;
  beforeAll(async () => {
    await useSoftwareGpu();
    device = await openDevice("webgpu");
    lm = await openWarm(await fixtureFiles("hf-mamba-tied"), { device });
  }, 120_000);
  afterAll(() => {
    lm.dispose();
    device.dispose();
  });

  async function expectSame(actual: GenerationResult, expected: GenerationResult): Promise<void> {
    const { state, ...facts } = actual;
    const { state: other, ...wanted } = expected;
    expect(facts).toEqual(wanted);
    expect(state.facts).toEqual(other.facts);
    expect(await state.serialize()).toEqual(await other.serialize());
    state.dispose();
    other.dispose();
  }

  it("are those that the host chooses, wherever the text ends, and leave the same state", async () => {
    const whole = await lm.generate([1, 2, 3], { ...greedy, ...onHost });
    const counts = [1, 2, 9, 24];
    for (const maxNewTokens of counts) {
      const options = { ...greedy, maxNewTokens };
      await expectSame(await lm.generate([1, 2, 3], options), await lm.generate([1, 2, 3], { ...options, ...onHost }));
    }
    // inside a chunk
    const stops = { ...greedy, stopTokenIds: [whole.tokens[13]!] };
    const stopped = await lm.generate([1, 2, 3], stops);
    expect(stopped.finishReason).toBe("stop-token");
    await expectSame(stopped, await lm.generate([1, 2, 3], { ...stops, ...onHost }));
    whole.state.dispose();
  }, 120_000);

  it("are drawn with the random numbers of the host, go on from a state, and stop at strings", async () => {
    const sampled = { ...greedy, temperature: 0.9, topK: 40, topP: 0.9, minP: 0.01, seed: 11 };
    const options = { ...sampled, maxNewTokens: 13 };
    const [first, expected] = [
      await lm.generate([1, 2], options),
      await lm.generate([1, 2], { ...options, ...onHost }),
    ];
    const goOn = { ...sampled, state: first.state };
    await expectSame(
      await lm.generate([], goOn),
      await lm.generate([], { ...sampled, ...onHost, state: expected.state }),
    );
    const stops = { ...sampled, stop: [first.text.slice(6, 8)] };
    await expectSame(await lm.generate([1, 2], stops), await lm.generate([1, 2], { ...stops, ...onHost }));
    await expectSame(first, expected);
    // the same prompt twice draws from two streams
    const [one, other] = await lm.generate(["a", "a"], sampled);
    expect(one!.tokens).not.toEqual(other!.tokens);
    for (const { state } of [one!, other!]) state.dispose();
  }, 120_000);

  it("end each row of a batch where it would end alone", async () => {
    const prompts = ["a", "xz"];
    const texts = await lm.generate(prompts, { ...greedy, ...onHost });
    const stops = { ...greedy, stopTokenIds: [texts[0]!.tokens[7]!, texts[1]!.tokens[15]!] };
    const actual = await lm.generate(prompts, stops);
    const expected = await lm.generate(prompts, { ...stops, ...onHost });
    for (const [row, result] of actual.entries()) await expectSame(result, expected[row]!);
    for (const { state } of texts) state.dispose();
  }, 120_000);

  it("give everything back when the reader leaves, or the signal fires", async () => {
    const before = device.memory();
    let seen = 0;
    for await (const { tokens } of lm.stream([1, 2], greedy)) {
      seen += tokens.length;
      if (seen >= 6) break;
    }
    const abort = new AbortController();
    const stopped = (async () => {
      for await (const { tokens } of lm.stream([1, 2], { ...greedy, signal: abort.signal }))
        if (tokens.length) abort.abort();
    })();
    await expect(stopped).rejects.toMatchObject({ name: "AbortError" });
    const { used, buffers } = device.memory();
    expect([used, buffers]).toEqual([before.used, before.buffers]);
  }, 120_000);
});
