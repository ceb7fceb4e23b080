import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fakeTerminal } from "../../test/kit/fake-terminal.ts";
import { resolvePrompt } from "./prompt.ts";

const terminal = fakeTerminal({ input: "from a pipe" });

describe("resolvePrompt", () => {
  it.each<[string[], string, string]>([
    [[], "storybook-11m", "Once upon a time"],
    [["The dog"], "storybook-11m", "The dog"],
    [["storybook-11m"], "storybook-11m", "Once upon a time"],
    [["storybook-11m", "The dog"], "storybook-11m", "The dog"],
    [["org/name", "and/or"], "org/name", "and/or"],
    [["either / or"], "storybook-11m", "either / or"],
    [["-"], "storybook-11m", "from a pipe"],
    [["org/name", "-"], "org/name", "from a pipe"],
  ])("reads %j as model %s and prompt %j", async (args, model, prompt) => {
    expect(await resolvePrompt(args, false, terminal)).toEqual({ model, prompt });
  });

  it("needs no prompt to go on from a state", async () => {
    expect(await resolvePrompt([], true, terminal)).toEqual({ model: "storybook-11m", prompt: "" });
    expect(await resolvePrompt(["org/name"], true, terminal)).toEqual({ model: "org/name", prompt: "" });
    expect(await resolvePrompt(["org/name", ""], true, terminal)).toEqual({ model: "org/name", prompt: "" });
  });

  it("takes a folder for a model only if it holds one", async () => {
    const folder = await mkdtemp(join(tmpdir(), "mamba-prompt-"));
    await mkdir(join(folder, "hello"));
    const before = process.cwd();
    process.chdir(folder);
    try {
      expect((await resolvePrompt(["hello"], false, terminal)).prompt).toBe("hello");
      await writeFile(join(folder, "hello", "config.json"), "{}");
      await expect(resolvePrompt(["hello"], false, terminal)).rejects.toThrow(/a prompt must follow the model/);
    } finally {
      process.chdir(before);
    }
  });
});
