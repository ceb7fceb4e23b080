import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { openFolder } from "#platform";
import { CheckpointError } from "../tensor/errors.ts";
import { openCheckpoint } from "./open-checkpoint.ts";
import { encodeSafetensors, type TensorData } from "./safetensors-write.ts";
import { type FileSet, memoryFiles, readJson } from "./source.ts";

const fixtures = new URL("../../test/fixtures/", import.meta.url).pathname;

const values = (name: string, ...data: number[]): TensorData => ({
  name,
  dtype: "float32",
  shape: [data.length],
  data: Float32Array.from(data),
});
const first = encodeSafetensors([values("a", 1, 2), values("b", 3)], { format: "pt" });
const second = encodeSafetensors([values("c", 4)]);
const index = (weight_map: unknown) => JSON.stringify({ metadata: { total_size: 16 }, weight_map });

/** Counts what is open. */
function counted(files: FileSet): FileSet & { open: FileSet["open"]; readonly state: { open: number } } {
  const state = { open: 0 };
  return {
    ...files,
    state,
    async open(name) {
      const source = await files.open(name);
      state.open++;
      return {
        ...source,
        async close() {
          state.open--;
        },
      };
    },
  };
}

describe("openCheckpoint", () => {
  it("opens a folder of either dialect", async () => {
    for (const [folder, size] of [
      ["hf-mamba-tied", 22],
      ["original-mamba-bin-f32", 23],
    ] as const) {
      const opened = await openCheckpoint(await openFolder(fixtures + folder));
      expect(opened.entries.size).toBe(size);
      expect(opened.headRepeatsEmbedding).toBe(folder === "hf-mamba-tied" ? undefined : true);
      await opened.close();
    }
  });

  it("opens the only weights there are, whatever their name", async () => {
    const bin = new Uint8Array(await readFile(`${fixtures}original-mamba-bin-f16/pytorch_model.bin`));
    expect((await openCheckpoint(memoryFiles({ "notes.txt": "", "step-10.pt": bin }))).entries.size).toBe(23);
    expect((await openCheckpoint(memoryFiles({ "a.pth": bin }))).entries.size).toBe(23);
    expect((await openCheckpoint(memoryFiles({ "a.safetensors": second }))).entries.size).toBe(1);
  });

  it("prefers safetensors to PyTorch files and whole files to parts", async () => {
    const files = { "model.safetensors": second, "pytorch_model.bin": "", "model.safetensors.index.json": "" };
    expect((await openCheckpoint(memoryFiles(files))).files).toEqual(["model.safetensors"]);
  });

  it("opens weights in parts and takes every tensor from the file that the index names", async () => {
    const weightMap = { c: "two.safetensors", a: "one.safetensors", b: "one.safetensors" };
    const files = counted(
      memoryFiles({
        "model.safetensors.index.json": index(weightMap),
        "one.safetensors": first,
        "two.safetensors": second,
      }),
    );
    const opened = await openCheckpoint(files);
    const read = async (name: string) => [...(await opened.entries.get(name)!.read())];
    expect([await read("a"), await read("b"), await read("c")]).toEqual([[1, 2], [3], [4]]);
    expect([opened.files.length, opened.metadata, files.state.open]).toEqual([2, { format: "pt" }, 2]);
    await opened.close();
    expect(files.state.open).toBe(0);
  });

  it("opens PyTorch files in parts", async () => {
    const bin = new Uint8Array(await readFile(`${fixtures}original-mamba-bin-f16/pytorch_model.bin`));
    const { entries } = await openCheckpoint(
      memoryFiles({ "pytorch_model.bin.index.json": index({ "lm_head.weight": "x.bin" }), "x.bin": bin }),
    );
    expect([...entries.keys()]).toEqual(["lm_head.weight"]);
    expect(entries.get("lm_head.weight")!.shape).toEqual([104, 64]);
  });

  it.each([
    ["no weights", { "config.json": "{}" }, /it holds config.json; put the weights there/],
    ["nothing", {}, /it holds nothing that can be listed/],
    ["several without a usual name", { "a.pt": "", "b.bin": "" }, /it holds several: a.pt, b.bin/],
    ["an index that is no JSON", { "model.safetensors.index.json": "{" }, /must be JSON/],
    ["an index without a map", { "model.safetensors.index.json": "{}" }, /weight_map must map/],
    ["an empty map", { "model.safetensors.index.json": index({}) }, /weight_map must map/],
    ["a number as file", { "model.safetensors.index.json": index({ a: 1 }) }, /must lie beside the index/],
    ["a file outside", { "model.safetensors.index.json": index({ a: "../x" }) }, /must lie beside the index/],
    ["an absolute file", { "model.safetensors.index.json": index({ a: "/etc/passwd" }) }, /must lie beside the index/],
    ["files that are not there", { "model.safetensors.index.json": index({ a: "x", b: "y" }) }, /missing x, y/],
  ] as [string, Record<string, string>, RegExp][])("refuses %s", async (_, files, message) => {
    const opening = openCheckpoint(memoryFiles(files));
    await expect(opening).rejects.toThrow(CheckpointError);
    await expect(opening).rejects.toThrow(message);
  });

  it("names tensors that are not in the file of the index, and closes everything when a part is damaged", async () => {
    const files = (two: Uint8Array) =>
      counted(
        memoryFiles({
          "model.safetensors.index.json": index({ a: "one.safetensors", z: "two.safetensors" }),
          "one.safetensors": first,
          "two.safetensors": two,
        }),
      );
    const lacking = files(second);
    await expect(openCheckpoint(lacking)).rejects.toThrow(/1 are missing: "z" in two.safetensors/);
    const damaged = files(second.subarray(1));
    await expect(openCheckpoint(damaged)).rejects.toThrow(CheckpointError);
    expect([lacking.state.open, damaged.state.open]).toEqual([0, 0]);
  });
});

describe("readJson", () => {
  it("refuses text that is no JSON and text that is no UTF-8, naming the file", async () => {
    const files = memoryFiles({ "config.json": "{,}", "other.json": Uint8Array.of(0x22, 0xff, 0x22) });
    await expect(readJson(files, "config.json")).rejects.toThrow(/^config.json: must be JSON/);
    await expect(readJson(files, "other.json")).rejects.toThrow(/^other.json: text must be UTF-8/);
    await expect(readJson(files, "config.json")).rejects.toThrow(CheckpointError);
  });
});
