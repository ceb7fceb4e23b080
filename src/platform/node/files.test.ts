import { mkdtemp, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openFileSource, openFolder, pathKind, writeFileAtomically } from "./files.ts";

const folder = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-files-"));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("openFileSource", () => {
  it("reads ranges, each into an array that begins its buffer", async () => {
    const path = join(await folder(), "a.bin");
    await writeFile(path, bytes("0123456789"));
    const source = await openFileSource(path);
    const [middle, nothing, all] = await Promise.all([source.read(3, 6), source.read(10, 10), source.read(0, 10)]);
    expect(new TextDecoder().decode(middle)).toBe("345");
    expect(middle.byteOffset).toBe(0);
    expect(nothing).toHaveLength(0);
    expect(new TextDecoder().decode(all)).toBe("0123456789");
    await source.close();
  });

  it("refuses ranges outside the file, folders and missing files", async () => {
    const path = await folder();
    await writeFile(join(path, "a.bin"), bytes("0123"));
    const source = await openFileSource(join(path, "a.bin"));
    await expect(source.read(2, 5)).rejects.toThrow(/bytes 2 to 5 must lie within its 4 bytes/);
    await expect(source.read(3, 2)).rejects.toThrow(/bytes 3 to 2/);
    await source.close();
    await expect(openFileSource(path)).rejects.toThrow(/must be a regular file/);
    await expect(openFileSource(join(path, "b.bin"))).rejects.toMatchObject({
      code: "FILE",
      facts: { code: "ENOENT" },
    });
  });

  it("says so when the file shrinks while it is open", async () => {
    const path = join(await folder(), "a.bin");
    await writeFile(path, bytes("0123456789"));
    const source = await openFileSource(path);
    await writeFile(path, bytes("012"));
    await expect(source.read(0, 10)).rejects.toThrow(/must hold 10 bytes; it ended at 3/);
    await source.close();
  });
});

describe("openFolder", () => {
  it("lists files and followed links, sorted, without subfolders", async () => {
    const path = await folder();
    await writeFile(join(path, "b.txt"), "b");
    await symlink(join(path, "b.txt"), join(path, "a.txt"));
    await symlink(path, join(path, "loop"));
    const files = await openFolder(path);
    expect(await files.list()).toEqual(["a.txt", "b.txt"]);
    expect(await files.has("a.txt")).toBe(true);
    expect(await files.has("c.txt")).toBe(false);
  });

  it.each(["../x", "/etc/passwd", "a/../../x", "a\\b", "C:x", ""])(
    "refuses to leave the folder for %j",
    async (name) => {
      const files = await openFolder(await folder());
      await expect(files.open(name)).rejects.toThrow(/must be relative and stay in its folder/);
      await expect(files.has(name)).rejects.toThrow(/must be relative and stay in its folder/);
    },
  );

  it("refuses what is no folder", async () => {
    const path = await folder();
    await expect(openFolder(join(path, "none"))).rejects.toThrow(/must be a folder/);
    expect(await pathKind(path)).toBe("folder");
    expect(await pathKind(join(path, "none"))).toBeUndefined();
  });
});

describe("writeFileAtomically", () => {
  it("writes the pieces in order and leaves no temporary file", async () => {
    const path = await folder();
    await writeFileAtomically(join(path, "out"), async (write) => {
      await write(bytes("one "));
      expect(await readdir(path)).not.toContain("out");
      await write(bytes("two"));
    });
    expect(await readFile(join(path, "out"), "utf8")).toBe("one two");
    expect(await readdir(path)).toEqual(["out"]);
  });

  it("keeps the older file and removes the temporary one when the writer fails", async () => {
    const path = await folder();
    await writeFile(join(path, "out"), "old");
    const failing = writeFileAtomically(join(path, "out"), async (write) => {
      await write(bytes("new"));
      throw new Error("stop");
    });
    await expect(failing).rejects.toThrow("stop");
    expect(await readFile(join(path, "out"), "utf8")).toBe("old");
    expect(await readdir(path)).toEqual(["out"]);
  });

  it("says which folder is missing", async () => {
    const path = join(await folder(), "none", "out");
    await expect(writeFileAtomically(path, async () => {})).rejects.toThrow(
      /must exist; there is no such file or folder/,
    );
  });
});
