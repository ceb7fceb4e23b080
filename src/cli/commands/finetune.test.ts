import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fakeTerminal } from "../../../test/kit/fake-terminal.ts";
import { readSafetensors } from "../../checkpoints/index.ts";
import { CausalLM } from "../../pretrained/index.ts";
import { runCli } from "../program.ts";

const flags = ["--device", "wasm", "--threads", "0", "--steps", "12", "--batch", "2", "--length", "32", "--json"];

describe("mamba finetune", () => {
  it.each(["low-rank updates", "all parameters"])(
    "teaches the story model a sentence, training %s",
    async (kind) => {
      const full = kind === "all parameters";
      const folder = await mkdtemp(join(tmpdir(), "mamba-finetune-"));
      const text = join(folder, "text.txt");
      await writeFile(text, "The purple elephant plays chess on the moon. ".repeat(60));
      const out = join(folder, "run");
      const terminal = fakeTerminal();
      const rate = full ? ["--full", "--learning-rate", "3e-4"] : ["--rank", "4", "--learning-rate", "5e-3"];
      expect(await runCli(["finetune", "storybook-11m", text, "--out", out, ...flags, ...rate], terminal)).toBe(0);
      const report = JSON.parse(terminal.output);
      expect(report).toMatchObject({ steps: 12, folder: out });
      const lines = (await readFile(join(out, "metrics.jsonl"), "utf8")).trimEnd().split("\n");
      expect(report.validationLoss).toBeLessThan(JSON.parse(lines[0]!).loss / 2);
      const files = await readdir(out);
      expect(files.includes("adapter.safetensors")).toBe(!full);
      expect((await readdir(join(out, "model"))).sort()).toEqual(
        expect.arrayContaining(["config.json", "generation_config.json", "model.safetensors", "tokenizer.json"]),
      );
      // a checkpoint of low-rank updates holds them alone
      const checkpoint = await readSafetensors(join(out, "last.safetensors"));
      const names = [...checkpoint.tensors.keys()].filter((name) => name.startsWith("parameters/"));
      expect(names.every((name) => /\.[AB]$/.test(name))).toBe(!full);
      await checkpoint.close();
      // the saved model is the one that was validated: the base with its updates merged
      const lm = await CausalLM.fromPretrained(join(out, "model"), { device: "wasm", threads: 0 });
      const ids = Int32Array.from(lm.tokenizer.encode("The purple elephant plays chess on the moon. ".repeat(4)));
      const { loss } = await lm.evaluate(ids, { window: 32 });
      expect(loss).toBeLessThan(JSON.parse(lines[0]!).loss / 2);
      lm.dispose();
    },
    60_000,
  );

  it("wants a text", async () => {
    const terminal = fakeTerminal();
    expect(await runCli(["finetune", "storybook-11m"], terminal)).toBe(2);
    expect(terminal.errors).toMatch(/missing required argument 'text'/);
  });
});
