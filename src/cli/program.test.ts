import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { fakeTerminal } from "../../test/kit/fake-terminal.ts";
import { startHubSession, tinyModel } from "../../test/kit/hub-session.ts";
import { encodeSafetensors } from "../checkpoints/safetensors-write.ts";
import { runCli } from "./program.ts";

const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-cli-"));

async function run(...argv: string[]): Promise<{ exitCode: number; output: string; errors: string }> {
  const terminal = fakeTerminal();
  const exitCode = await runCli(argv, terminal);
  return { exitCode, output: terminal.output, errors: terminal.errors };
}

describe("mamba", () => {
  it("lists its verbs on standard output and ends well", async () => {
    const { exitCode, output, errors } = await run("--help");
    expect(exitCode).toBe(0);
    for (const verb of [
      "generate",
      "train",
      "finetune",
      "eval",
      "verify",
      "inspect",
      "bench",
      "state",
      "pull",
      "doctor",
    ])
      expect(output).toMatch(new RegExp(`^  ${verb} `, "m"));
    expect(errors).toBe("");
  });

  it.each(["generate", "train", "finetune", "eval", "verify", "inspect", "bench", "state", "pull", "doctor"])(
    "explains %s",
    async (verb) => {
      const { exitCode, output } = await run(verb, "--help");
      expect(exitCode).toBe(0);
      expect(output).toContain(`Usage: mamba ${verb}`);
    },
  );

  it("says its version", async () => {
    expect((await run("--version")).output).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each<[string[], RegExp]>([
    [[], /name a verb; see mamba --help/],
    [["gnerate"], /unknown command 'gnerate'.*Did you mean generate.*see mamba --help/],
    [["generate", "a", "b", "c"], /too many arguments.*see mamba generate --help/],
    [["generate", "--temperature", "-1", "x"], /--temperature.*must be a number at least 0/],
    [["generate", "--temperature", "warm", "x"], /must be a number at least 0/],
    [["generate", "--top-p", "1.5", "x"], /from 0 to 1/],
    [["generate", "--top-p", "0", "x"], /must be above 0/],
    [["generate", "--max-new-tokens", "1.5", "x"], /whole number from 0 up/],
    [["generate", "--logit-bias", "x", "x"], /must read ID=BIAS/],
    [["generate", "--device", "gpu", "x"], /Allowed choices are auto, wasm, webgpu, reference/],
    [["generate", "--threads", "17", "x"], /whole number from 0 to 16/],
    [["generate", "--logprobs", "2", "x"], /--logprobs needs --json/],
    [["generate", ""], /the prompt must not be empty/],
    [["generate", "org/name"], /a prompt must follow the model/],
    [["generate", "--tmperature", "1"], /unknown option '--tmperature'.*Did you mean --temperature/],
    [["eval"], /missing required argument 'model'/],
    [["eval", "m"], /name one of a text file/],
    [["eval", "m", "d", "--ids", "f"], /name one of/],
    [["eval", "m", "d", "--window", "8", "--carry"], /cannot be used with option/],
    [["verify", "m"], /missing required argument 'golden'/],
    [["inspect"], /missing required argument/],
    [["state"], /try: mamba state show FILE/],
    [["state", "drop", "f"], /mamba state/],
    [["state", "show"], /missing required argument 'file'/],
    [["pull"], /missing required argument 'id'/],
  ])("refuses %j with exit code 2 and one line", async (argv, expected) => {
    const { exitCode, output, errors } = await run(...argv);
    expect(exitCode).toBe(2);
    expect(output).toBe("");
    expect(errors).toMatch(expected);
    expect(errors).toMatch(/^mamba: .+; see mamba.* --help\n$/);
    expect(errors.match(/\n/g)).toHaveLength(1);
  });

  it("gives the reason as the one JSON object where one was asked for", async () => {
    const { exitCode, output } = await run("eval", "m", "--json");
    expect(exitCode).toBe(2);
    expect(JSON.parse(output)).toEqual({ error: { code: "USAGE", message: expect.stringContaining("--ids FILE") } });
  });
});

describe("mamba state show", () => {
  const header = {
    format: "mamba.ts state",
    version: "1",
    architecture: "mamba",
    fingerprint: "ab".repeat(32),
    position: "17",
    facts: JSON.stringify({ pendingId: 5, samplerCounter: 3, recentIds: [1, 2, 5] }),
  };
  const tensors = [{ name: "layers.0.ssm", dtype: "float32" as const, shape: [1, 2, 3], data: new Float32Array(6) }];

  async function stateFile(metadata: Record<string, string>): Promise<string> {
    const path = join(await temporary(), "a.state");
    await writeFile(path, encodeSafetensors(tensors, metadata));
    return path;
  }

  it("shows what the state says about itself", async () => {
    const path = await stateFile(header);
    const { exitCode, output } = await run("state", "show", path, "--json");
    expect(exitCode).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      position: 17,
      pendingId: 5,
      samplerCounter: 3,
      recentIds: 3,
      byteLength: 24,
    });
    expect((await run("state", "show", path)).output).toMatch(/^position +17$/m);
  });

  it("refuses other files, damaged ones and missing ones with exit code 1", async () => {
    const folder = await temporary();
    await writeFile(join(folder, "noise"), "no state at all");
    const cases: [string, RegExp][] = [
      [await stateFile({ format: "pt" }), /it is "pt"/],
      [await stateFile({ ...header, facts: "{" }), /it is damaged/],
      [join(folder, "noise"), /cannot be read as one/],
      [join(folder, "none"), /no such file/],
    ];
    for (const [path, expected] of cases) {
      const { exitCode, output, errors } = await run("state", "show", path);
      expect([exitCode, output]).toEqual([1, ""]);
      expect(errors).toMatch(expected);
      expect(errors).toMatch(/^mamba: [^\n]+\n$/);
    }
  });
});

describe("mamba pull", () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it("fetches a model, shows progress on standard error and prints the folder alone", async () => {
    const session = await startHubSession();
    vi.stubEnv("HF_ENDPOINT", session.hub.url);
    vi.stubEnv("HF_HUB_OFFLINE", "");
    session.hub.publish("org/tiny", { files: tinyModel() });
    const terminal = fakeTerminal({ watched: true });
    expect(await runCli(["pull", "org/tiny", "--cache-dir", session.cacheDir], terminal)).toBe(0);
    expect(terminal.output).toMatch(/models--org--tiny.snapshots.[0-9a-f]{40}\n$/);
    expect(terminal.output.match(/\n/g)).toHaveLength(1);
    expect(terminal.errors).toContain("100 %");
    expect(terminal.errors.endsWith("\r\u001b[K")).toBe(true);
    const again = await run("pull", "org/tiny", "--cache-dir", session.cacheDir, "--offline", "--json");
    expect(JSON.parse(again.output)).toMatchObject({ id: "org/tiny", files: expect.arrayContaining(["config.json"]) });
    await session.close();
  });

  it("fails with one line for a model that is not there, and with 130 after Ctrl-C", async () => {
    const session = await startHubSession();
    vi.stubEnv("HF_ENDPOINT", session.hub.url);
    vi.stubEnv("HF_HUB_OFFLINE", "");
    const missing = await run("pull", "org/none", "--cache-dir", session.cacheDir);
    expect(missing.exitCode).toBe(1);
    expect(missing.errors).toMatch(/^mamba: hub org\/none: [^\n]+\n$/);
    const terminal = fakeTerminal();
    terminal.interrupt();
    expect(await runCli(["pull", "org/none", "--cache-dir", session.cacheDir], terminal)).toBe(130);
    expect(terminal.errors).toBe("");
    await session.close();
  });
});
