import { once } from "node:events";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { buildCommand, finish, fixtures, run, runJson, start } from "./kit/command.ts";

const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-command-"));

beforeAll(buildCommand, 120_000);

describe("mamba generate", () => {
  const prompt = "Once upon a time";
  const greedy = ["--temperature", "0", "--repetition-penalty", "1"];

  it("writes what the official code writes, token for token, and only that", async () => {
    const reference = JSON.parse(await readFile(join(fixtures, "storybook-11m/reference.json"), "utf8"));
    const { prompt_ids, ids, text } = reference.greedy[0];
    const count = ids.length - prompt_ids.length;
    const result = await runJson("generate", "storybook-11m", prompt, ...greedy, "-n", String(count));
    expect(result["tokens"]).toEqual(ids.slice(prompt_ids.length));
    expect(prompt + result["text"]).toBe(text);
    expect(result["usage"]).toEqual({ promptTokens: prompt_ids.length, completionTokens: count });
    const streamed = await run("generate", ...greedy, "-n", String(count));
    expect(streamed).toEqual({ exitCode: 0, output: `${result["text"]}\n`, errors: "" });
  });

  it("gives the same text for the same seed, and another for another", async () => {
    const text = async (seed: string) => (await runJson("generate", prompt, "-n", "16", "--seed", seed))["text"];
    const [one, again, other] = [await text("1"), await text("1"), await text("2")];
    expect(again).toBe(one);
    expect(other).not.toBe(one);
  });

  it("goes on from a saved state as if it had never stopped", async () => {
    const state = join(await temporary(), "a.state");
    const whole = await runJson("generate", prompt, ...greedy, "-n", "24");
    const first = await runJson("generate", prompt, ...greedy, "-n", "10", "--state-out", state);
    const header = await runJson("state", "show", state);
    const second = await runJson("generate", ...greedy, "-n", "14", "--state-in", state);
    expect([...(first["tokens"] as number[]), ...(second["tokens"] as number[])]).toEqual(whole["tokens"]);
    expect(`${first["text"]}${second["text"]}`).toBe(whole["text"]);
    expect(header).toMatchObject({ architecture: "mamba", position: 4 + 9 });
  });

  it("ends with 130 at Ctrl-C and says nothing", async () => {
    const child = start("generate", prompt, "-n", "100000");
    const finished = finish(child);
    await Promise.race([once(child.stdout!, "data"), finished]);
    child.kill("SIGINT");
    expect(await finished).toMatchObject({ exitCode: 130, errors: "" });
  });

  it("ends quietly when nobody reads any more", async () => {
    const child = start("generate", prompt, "-n", "100000");
    let errors = "";
    child.stderr!.setEncoding("utf8").on("data", (part: string) => (errors += part));
    await once(child.stdout!, "data");
    child.stdout!.destroy();
    expect([...(await once(child, "close")), errors]).toEqual([0, null, ""]);
  });
});
