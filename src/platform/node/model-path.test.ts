import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import * as browser from "../browser.ts";
import * as node from "../node.ts";

async function modelFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "mamba-model-"));
  const names = ["config.json", "a.safetensors", "model.safetensors", "model.safetensors.index.json", "x.bin"];
  for (const name of names) await writeFile(join(path, name), name);
  return path;
}

describe("findModelPath", () => {
  it("gives paths that exist, shipped models, and nothing for other names", async () => {
    const path = await modelFolder();
    expect(await node.findModelPath(path)).toBe(path);
    expect(await node.findModelPath(join(path, "a.safetensors"))).toBe(join(path, "a.safetensors"));
    expect(await node.findModelPath("storybook-11m")).toMatch(/models.storybook-11m$/);
    for (const other of ["", "..x", "no/such", "no-such-model", join(path, "b.bin")])
      expect(await node.findModelPath(other)).toBeUndefined();
    expect(await browser.findModelPath("storybook-11m")).toBeUndefined();
  });
});

describe("openFolder of a weights file", () => {
  it("shows that file and its companions, and no other weights", async () => {
    const path = await modelFolder();
    const files = await node.openFolder(join(path, "a.safetensors"));
    expect(await files.list()).toEqual(["a.safetensors", "config.json"]);
    expect(await files.has("model.safetensors")).toBe(false);
    expect(await files.has("model.safetensors.index.json")).toBe(false);
    expect(await files.has("config.json")).toBe(true);
    const source = await files.open("a.safetensors");
    expect(source.byteLength).toBe("a.safetensors".length);
    await source.close();
  });

  it("refuses files that are no weights, and what is not there", async () => {
    const path = await modelFolder();
    await expect(node.openFolder(join(path, "config.json"))).rejects.toThrow(/it is another file/);
    await expect(node.openFolder(join(path, "none.bin"))).rejects.toThrow(/there is none/);
  });
});

describe("sha256", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

  it.each([
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ])("of %j is the value of FIPS 180-4, in Node and in browsers", async (text, expected) => {
    const parts = [text.slice(0, 1), text.slice(1)].map((part) => new TextEncoder().encode(part));
    expect(hex(await node.sha256(...parts))).toBe(expected);
    expect(hex(await browser.sha256(...parts))).toBe(expected);
  });

  it("agrees between the two over many blocks", async () => {
    const bytes = Uint8Array.from({ length: 10_007 }, (_, i) => (i * 31) & 255);
    const parts = [bytes.subarray(0, 65), bytes.subarray(65, 4096), bytes.subarray(4096)];
    expect(hex(await browser.sha256(...parts))).toBe(hex(await node.sha256(...parts)));
  });
});
