import { copyFile, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../src/checkpoints/safetensors.ts";
import { buildCommand, fixtures, run, runJson } from "./kit/command.ts";
import { goldenFolder } from "./kit/golden-folder.ts";

const tied = join(fixtures, "hf-mamba-tied");
const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-command-"));

beforeAll(buildCommand, 120_000);

describe("mamba eval", () => {
  it("measures the loss that the reference code measured, on ids of a model without a tokenizer", async () => {
    const golden = await readSafetensors(join(tied, "golden.safetensors"));
    const entry = golden.tensors.get("input_ids")!;
    const ids = Int32Array.from(await entry.read());
    const expected = Number((await golden.tensors.get("loss")!.read())[0]);
    await golden.close();
    const [rows, length] = entry.shape as [number, number];
    const folder = await temporary();
    let sum = 0;
    for (let row = 0; row < rows; row++) {
      const path = join(folder, `${row}.i32`);
      await writeFile(path, new Uint8Array(ids.slice(row * length, (row + 1) * length).buffer));
      const result = await runJson("eval", tied, "--ids", path, "--window", String(length - 1));
      expect(result["predictions"]).toBe(length - 1);
      expect(await runJson("eval", tied, "--ids", path, "--carry")).toMatchObject({ predictions: length - 1 });
      sum += result["loss"] as number;
    }
    expect(Math.abs(sum / rows - expected)).toBeLessThan(1e-5);
  });

  it("counts bits per byte of text", async () => {
    const path = join(await temporary(), "story.txt");
    await writeFile(path, "Once upon a time there was a little girl who lived in a house by the sea.");
    const result = (await runJson("eval", "storybook-11m", path)) as Record<string, number>;
    const bits = result["bitsPerToken"]! * result["predictions"]!;
    // "Once" or more is the first token, which nothing predicts
    expect(bits / result["bitsPerByte"]!).toBeGreaterThan(60);
    expect(bits / result["bitsPerByte"]!).toBeLessThanOrEqual(73);
    expect(result["bitsPerToken"]! * Math.LN2).toBeCloseTo(result["loss"]!, 10);
    const { output } = await run("eval", "storybook-11m", path);
    expect(output).toContain(`${(100 * result["accuracy"]!).toFixed(2)} % of tokens\n`);
  });

  it("refuses files that are no ids", async () => {
    const path = join(await temporary(), "odd.i32");
    await writeFile(path, "12345");
    const { exitCode, errors } = await run("eval", tied, "--ids", path);
    expect(exitCode).toBe(1);
    expect(errors).toMatch(/^mamba: eval .*ids must be 4-byte whole numbers; the file has 5 bytes[^\n]*\n$/);
  });
});

describe("mamba verify", () => {
  it.each(["hf-mamba-tied", "hf-mamba-untied-bias", "hf-falcon-mamba", "original-mamba-bin-f32"])(
    "finds %s within every limit",
    async (name) => {
      const result = await runJson(
        "verify",
        join(fixtures, name),
        join(fixtures, goldenFolder(name), "golden.safetensors"),
      );
      const compared = result["compared"] as { name: string; error: number; limit: number }[];
      expect(compared.map((quantity) => quantity.name)).toEqual(
        expect.arrayContaining(["logits", "loss", "greedy_ids"]),
      );
      for (const { error, limit } of compared) expect(error).toBeLessThanOrEqual(limit);
      expect(result).toMatchObject({ ok: true, notCompared: [] });
    },
  );

  it("ends with 1 for weights that differ", async () => {
    const folder = await temporary();
    await copyFile(join(tied, "config.json"), join(folder, "config.json"));
    const weights = await readFile(join(tied, "model.safetensors"));
    // the exponent of one weight in every 4 KiB
    for (let at = weights.length - 1; at > weights.length / 2; at -= 4096) weights[at] = weights[at]! ^ 1;
    await writeFile(join(folder, "model.safetensors"), weights);
    const { exitCode, output } = await run("verify", folder, join(tied, "golden.safetensors"));
    expect(exitCode).toBe(1);
    expect(output).toMatch(/^FAIL {2}logits/m);
  });
});

describe("mamba inspect", () => {
  it("counts what the story model's card says", async () => {
    const result = await runJson("inspect", "storybook-11m");
    const parameters = result["parameters"] as number;
    expect((parameters / 1e6).toFixed(1)).toBe("10.9");
    // conv window 3 and state 16 for 768 channels of 8 layers, in float32
    expect(result).toMatchObject({ architecture: "mamba", stateBytes: 8 * 768 * (3 + 16) * 4, hasTokenizer: true });
    expect(result["storedBytes"]).toBe(2 * parameters);
    expect((await run("inspect", "storybook-11m", "--tensors")).output).toMatch(
      /^backbone\.embedding\.weight +float16 {2}\[8192 384\]$/m,
    );
  });

  it("says what to do where there is no model", async () => {
    const { exitCode, output, errors } = await run("inspect", "no-such-model");
    expect({ exitCode, output }).toEqual({ exitCode: 1, output: "" });
    expect(errors).toMatch(/^mamba: model "no-such-model": [^\n]+ check the spelling\n$/);
  });
});

describe("mamba doctor", () => {
  it("finds a device that opens", async () => {
    const result = await runJson("doctor");
    expect(result).toMatchObject({ runtime: `Node ${process.version}`, wasm: { simd: true } });
    expect((result["wasm"] as { threads: number }).threads).toBeGreaterThanOrEqual(1);
    expect(result["auto"]).toBe("wasm");
  });
});
