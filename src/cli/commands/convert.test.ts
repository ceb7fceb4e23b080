import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fakeTerminal } from "../../../test/kit/fake-terminal.ts";
import { runCli } from "../program.ts";

const fixture = (name: string): string => new URL(`../../../test/fixtures/${name}`, import.meta.url).pathname;
const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-convert-"));

async function command(...argv: string[]): Promise<{ exitCode: number; output: string; errors: string }> {
  const terminal = fakeTerminal();
  const exitCode = await runCli(argv, terminal);
  return { exitCode, output: terminal.output, errors: terminal.errors };
}

describe("mamba convert", () => {
  it("writes a GGUF file that inspect and generate take", async () => {
    const file = join(await temporary(), "story.gguf");
    const { exitCode, output } = await command("convert", "storybook-11m", file);
    expect([exitCode, output]).toEqual([0, `${file}: gguf, 21.0 MiB of weights (33 F16, 49 F32)\n`]);
    const inspected = await command("inspect", file);
    expect(inspected.output).toMatch(
      /layers {8}8, width 384[\s\S]*weights {7}float16, float32, 21.0 MiB in story.gguf/,
    );
    expect(inspected.output).toMatch(/tokenizer {5}in the file/);
    const flags = ["-n", "8", "-t", "0", "--device", "wasm", "--threads", "0"];
    const [ours, theirs] = [
      await command("generate", file, "Once upon a time", ...flags),
      await command("generate", "storybook-11m", "Once upon a time", ...flags),
    ];
    expect(ours.exitCode).toBe(0);
    expect(ours.output).toBe(theirs.output);
  });

  it("goes from GGUF to a folder of safetensors", async () => {
    const folder = await temporary();
    await command("convert", fixture("hf-mamba-tied"), join(folder, "a.gguf"));
    const made = join(folder, "made/here");
    const { exitCode, output } = await command(
      "convert",
      join(folder, "a.gguf"),
      made,
      "--dtype",
      "bfloat16",
      "--json",
    );
    expect(exitCode).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      target: made,
      format: "safetensors",
      dtype: "bfloat16",
      types: { BF16: 22 },
    });
    expect(await readdir(made)).toEqual(["config.json", "model.safetensors"]);
  });

  it("says that a model without a tokenizer will take ids only", async () => {
    const { errors } = await command("convert", fixture("hf-mamba-tied"), join(await temporary(), "a.gguf"));
    expect(errors).toBe("mamba: warning: there is no tokenizer.json; the file will take ids only\n");
  });

  it("is misused with a target that cannot be", async () => {
    const from = fixture("hf-mamba-tied");
    for (const [argv, message] of [
      [["convert", from, "x.safetensors"], /must be a folder or end with .gguf; got x.safetensors/],
      [["convert", from, "x", "--dtype", "int8"], /int8 needs a target that ends with .gguf; got x/],
      [["convert", from, from], /another place than the source/],
      [["convert", from, "x.gguf", "--dtype", "int2"], /Allowed choices are float32, float16, bfloat16, int8, int4/],
      [["quantize", from, "x"], /must end with .gguf; got x/],
      [["quantize", from, "x.gguf", "--dtype", "float16"], /Allowed choices are int8, int4/],
    ] as const) {
      const { exitCode, errors } = await command(...argv);
      expect(exitCode).toBe(2);
      expect(errors).toMatch(message);
    }
  });

  it("fails with one line for a model that llama.cpp does not know", async () => {
    const { exitCode, errors } = await command(
      "convert",
      fixture("hf-mamba-untied-bias"),
      join(await temporary(), "a.gguf"),
    );
    expect(exitCode).toBe(1);
    expect(errors).toMatch(/^mamba: GGUF: a model must be one that llama.cpp knows; this has biases [^\n]*\n$/);
  });
});

describe("mamba quantize", () => {
  it.each([
    ["int8", { Q8_0: 25, F32: 49, F16: 8 }],
    ["int4", { Q4_0: 16, Q8_0: 9, F32: 49, F16: 8 }],
  ])("rounds the large weights to %s", async (dtype, types) => {
    const file = join(await temporary(), "story.gguf");
    const { exitCode, output } = await command("quantize", "storybook-11m", file, "--dtype", dtype, "--json");
    expect(exitCode).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ format: "gguf", dtype, types, warnings: [] });
    const { tensors, storedBytes } = JSON.parse((await command("inspect", file, "--json")).output);
    expect(storedBytes).toBe(JSON.parse(output).byteLength);
    const block = dtype === "int8" ? "Q8_0" : "Q4_0";
    expect(tensors).toContainEqual({ name: "backbone.layers.3.mixer.inProj.weight", dtype: block, shape: [1536, 384] });
  });
});
