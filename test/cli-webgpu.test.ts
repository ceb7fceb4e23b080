import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { buildCommand, fixtures, run, runJson } from "./kit/command.ts";
import { useSoftwareGpu } from "./kit/software-gpu.ts";

const onGpu = ["--device", "webgpu"];

beforeAll(async () => {
  await buildCommand();
  await useSoftwareGpu();
}, 120_000);

describe("mamba --device webgpu", () => {
  it("verifies logits and loss of a golden; gradients are held to the training curve", async () => {
    const folder = join(fixtures, "original-mamba-bin-f16");
    const result = await runJson("verify", folder, join(folder, "golden.safetensors"), ...onGpu);
    const compared = result["compared"] as { name: string; error: number; limit: number }[];
    expect(compared.map(({ name }) => name)).toEqual(["logits", "loss"]);
    for (const { error, limit } of compared) expect(error).toBeLessThanOrEqual(limit);
    expect(result).toMatchObject({ device: "webgpu", ok: true, notCompared: [] });
  }, 120_000);

  it("generates what the official code generates with the shipped model, and measures its loss", async () => {
    const reference = JSON.parse(await readFile(join(fixtures, "storybook-11m/reference.json"), "utf8"));
    const { prompt_ids: prompt, ids } = reference.greedy[0];
    const greedy = ["--temperature", "0", "--repetition-penalty", "1", "-n", "3"];
    const result = await runJson("generate", "storybook-11m", "Once upon a time", ...greedy, ...onGpu);
    expect(result["tokens"]).toEqual(ids.slice(prompt.length, prompt.length + 3));
    const held = join(fixtures, "storybook-11m/val.ids.i32");
    const evaluate = (...device: string[]) =>
      runJson("eval", "storybook-11m", "--ids", held, "--window", "24", "--limit", "24", ...device);
    const [own, wasm] = [await evaluate(...onGpu), await evaluate("--device", "wasm")];
    expect(own["predictions"]).toBe(wasm["predictions"]);
    expect(Math.abs((own["loss"] as number) - (wasm["loss"] as number))).toBeLessThan(1e-5);
  }, 120_000);

  it("shows the adapter, and that it is none to choose by itself", async () => {
    const result = await runJson("doctor");
    expect(result).toMatchObject({ auto: "wasm", webgpu: { isSoftware: true } });
    const { features, limits } = result["webgpu"] as { features: string[]; limits: Record<string, number> };
    expect(features).toContain("subgroups");
    expect(limits["maxStorageBuffersPerShaderStage"]).toBeGreaterThanOrEqual(8);
    expect((await run("doctor")).output).toMatch(/^webgpu +SwiftShader.*, a program that acts as a card$/m);
  });
});
