import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { folderStore, MemoryStore } from "./checkpoint-store.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe.each(["folder", "memory"])("a checkpoint store in a %s", (kind) => {
  it("shows a checkpoint once it is whole, and keeps it when the next one fails", async () => {
    const folder = await mkdtemp(join(tmpdir(), "mamba-store-"));
    const store = kind === "folder" ? await folderStore(folder) : new MemoryStore();
    expect(await store.open("last.safetensors")).toBeUndefined();
    await store.write("last.safetensors", async (write) => {
      await write(bytes("one "));
      await write(bytes("whole"));
    });
    const failing = store.write("last.safetensors", async (write) => {
      await write(bytes("half"));
      throw new Error("interrupted");
    });
    await expect(failing).rejects.toThrow("interrupted");
    const source = (await store.open("last.safetensors"))!;
    expect(new TextDecoder().decode(await source.read(0, source.byteLength))).toBe("one whole");
    await source.close();
    if (kind === "folder") expect(await readdir(folder)).toEqual(["last.safetensors"]);
  });
});

describe("folderStore", () => {
  it("removes what a killed process left half written, and nothing else", async () => {
    const folder = await mkdtemp(join(tmpdir(), "mamba-store-"));
    const left = `.last.safetensors.${crypto.randomUUID()}.tmp`;
    for (const name of [left, "notes.tmp", ".hidden", "last.safetensors"]) await writeFile(join(folder, name), "x");
    await folderStore(folder);
    expect((await readdir(folder)).sort()).toEqual([".hidden", "last.safetensors", "notes.tmp"]);
  });
});
