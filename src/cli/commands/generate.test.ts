import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { type FakeTerminal, fakeTerminal } from "../../../test/kit/fake-terminal.ts";
import { throwIfAborted } from "../../tensor/errors.ts";
import { runCli } from "../program.ts";

/** What the command did to the model that stands in for a real one. */
const calls = vi.hoisted(() => ({
  opened: [] as unknown[][],
  streamed: [] as [string, Record<string, unknown>][],
  disposed: [] as string[],
  onChunk: () => {},
}));

vi.mock("../../pretrained/causal-lm.ts", () => ({
  CausalLM: {
    async fromPretrained(...given: unknown[]) {
      calls.opened.push(given);
      return {
        device: { name: "wasm" },
        warnings: ["an odd file"],
        loadState: async (bytes: Uint8Array) => `state of ${bytes.length} bytes`,
        stream,
        dispose: () => calls.disposed.push("model"),
      };
    },
  },
}));

async function* stream(prompt: string, options: Record<string, unknown>): AsyncGenerator<object> {
  calls.streamed.push([prompt, options]);
  for (const [id, text] of [" a", "", " dog"].entries()) {
    throwIfAborted(options["signal"] as AbortSignal, "generate");
    yield { text, tokens: [id] };
    calls.onChunk();
  }
  const state = { serialize: async () => new Uint8Array([7, 8, 9]), dispose: () => calls.disposed.push("state") };
  const usage = { promptTokens: 2, completionTokens: 3 };
  yield { text: "", tokens: [], finishReason: "length", usage, state };
}

async function run(terminal: FakeTerminal, ...argv: string[]): Promise<number> {
  return runCli(["generate", ...argv], terminal);
}

describe("mamba generate", () => {
  beforeEach(() => {
    for (const list of [calls.opened, calls.streamed, calls.disposed]) list.length = 0;
    calls.onChunk = () => {};
  });

  it("writes the completion and one newline, frees everything, and warns on standard error", async () => {
    const terminal = fakeTerminal();
    expect(await run(terminal, "I saw")).toBe(0);
    expect(terminal.output).toBe(" a dog\n");
    expect(terminal.errors).toBe("mamba: warning: an odd file\n");
    expect(calls.disposed).toEqual(["state", "model"]);
    expect(calls.opened[0]![0]).toBe("storybook-11m");
    expect(calls.streamed[0]![0]).toBe("I saw");
  });

  it("shows people the prompt too, and how fast it was", async () => {
    const terminal = fakeTerminal({ watched: true });
    await run(terminal, "I saw");
    expect(terminal.output).toBe("I saw a dog\n");
    expect(terminal.errors).toMatch(/2 tokens read, 3 written, [\d.]+ a second\n$/);
  });

  it("hands every option on under the library's name, and none that was not given", async () => {
    const flags = "-n 9 -t 0.5 --top-k 4 --top-p 0.9 --min-p 0.1 --repetition-penalty 1.2 --seed 3 --logprobs 2 --json";
    const more = "--stop x --stop y --stop-token-id 5 --logit-bias 7=-2.5 --device wasm --threads 2 --offline";
    await run(fakeTerminal(), "hf/model", "I saw", ...flags.split(" "), ...more.split(" "));
    const { signal, ...options } = calls.streamed[0]![1];
    expect(signal).toBeInstanceOf(AbortSignal);
    expect(options).toEqual({
      maxNewTokens: 9,
      temperature: 0.5,
      topK: 4,
      topP: 0.9,
      minP: 0.1,
      repetitionPenalty: 1.2,
      seed: 3,
      logprobs: 2,
      stop: ["x", "y"],
      stopTokenIds: [5],
      logitBias: { 7: -2.5 },
    });
    expect(calls.opened[0]).toMatchObject(["hf/model", { device: "wasm", threads: 2, localFilesOnly: true }]);
    await run(fakeTerminal(), "I saw");
    expect(Object.keys(calls.streamed[1]![1])).toEqual(["signal"]);
  });

  it("gives one JSON object with text, tokens and usage", async () => {
    const terminal = fakeTerminal();
    await run(terminal, "I saw", "--json", "--seed", "1");
    expect(terminal.output.match(/\n/g)).toHaveLength(1);
    expect(JSON.parse(terminal.output)).toMatchObject({
      model: "storybook-11m",
      prompt: "I saw",
      text: " a dog",
      tokens: [0, 1, 2],
      finishReason: "length",
      usage: { promptTokens: 2, completionTokens: 3 },
      seed: 1,
      seconds: expect.any(Number),
    });
  });

  it("reads and writes states", async () => {
    const folder = await mkdtemp(join(tmpdir(), "mamba-generate-"));
    await writeFile(join(folder, "in"), "12345");
    await run(fakeTerminal(), "--state-in", join(folder, "in"), "--state-out", join(folder, "out"));
    expect(calls.streamed[0]).toMatchObject(["", { state: "state of 5 bytes" }]);
    expect([...(await readFile(join(folder, "out")))]).toEqual([7, 8, 9]);
  });

  it.each([
    ["signal", 130],
    ["closed output", 0],
  ] as const)("stops after %s with exit code %i, and frees the model", async (reason, exitCode) => {
    const terminal = fakeTerminal();
    calls.onChunk = () => terminal.interrupt(reason);
    expect(await run(terminal, "I saw")).toBe(exitCode);
    expect(terminal.output).toBe(" a");
    expect(terminal.errors).toBe("mamba: warning: an odd file\n");
    expect(calls.disposed).toEqual(["model"]);
  });
});
