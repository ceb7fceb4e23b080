import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DataError } from "../../tensor/errors.ts";
import { documentsOf, findTextFiles, readText } from "./text-files.ts";

const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-text-"));

async function readDocuments(path: string, separator?: string): Promise<string[][]> {
  const documents: string[][] = [];
  let seen = 0;
  for await (const pieces of documentsOf(path, separator, (count) => (seen += count))) {
    const texts: string[] = [];
    for await (const piece of pieces) texts.push(Buffer.from(piece).toString());
    documents.push(texts);
  }
  expect(seen).toBeGreaterThan(0);
  return documents;
}

describe("findTextFiles", () => {
  it("takes files, and folders with what lies below them, sorted and without hidden files", async () => {
    const folder = await temporary();
    await mkdir(join(folder, "b/c"), { recursive: true });
    for (const name of ["z.txt", "a.txt", ".hidden", "b/c/deep.md"]) await writeFile(join(folder, name), name);
    const found = findTextFiles([join(folder, "z.txt"), folder]).map(({ path }) => path.slice(folder.length + 1));
    expect(found).toEqual(["z.txt", "a.txt", "b/c/deep.md", "z.txt"]);
  });

  it("says what is wrong with a path", async () => {
    const folder = await temporary();
    expect(() => findTextFiles([folder])).toThrow(/the folder must hold a file/);
    expect(() => findTextFiles([join(folder, "none")])).toThrow(/must be a text file .*ENOENT/);
  });
});

describe("documentsOf", () => {
  it("gives a whole file, or what stands between separators", async () => {
    const path = join(await temporary(), "text.txt");
    await writeFile(path, "one<|end|>two\nlines<|end|><|end|>three");
    expect(await readDocuments(path)).toEqual([["one<|end|>two\nlines<|end|><|end|>three"]]);
    expect(await readDocuments(path, "<|end|>")).toEqual([["one"], ["two\nlines"], [], ["three"]]);
  });

  it("cuts long documents behind lines, and finds separators across the borders of reads", async () => {
    const path = join(await temporary(), "long.txt");
    const line = `${"x".repeat(99)}\n`;
    // the separator lies across the end of the first read of 1 MiB
    const first = line.repeat(10485) + "y".repeat(2 ** 20 - 1048500 - 2);
    await writeFile(path, `${first}<|end|>${line.repeat(25000)}`);
    const documents = await readDocuments(path, "<|end|>");
    expect(documents.map((pieces) => pieces.join(""))).toEqual([first, line.repeat(25000)]);
    expect(documents[1]!.length).toBeGreaterThan(1);
    for (const piece of documents[1]!.slice(0, -1)) expect(piece.endsWith("\n")).toBe(true);
  });

  it("unpacks files that are named .gz while it reads them, also ones of several members", async () => {
    const path = join(await temporary(), "text.txt.gz");
    const long = `${"to be or not to be\n".repeat(80_000)}`;
    await writeFile(path, Buffer.concat([gzipSync(`one<|end|>${long}`), gzipSync("<|end|>three")]));
    const documents = await readDocuments(path, "<|end|>");
    expect(documents.map((pieces) => pieces.join(""))).toEqual(["one", long, "three"]);
    expect(Buffer.from(await readText(path)).toString()).toBe(`one<|end|>${long}<|end|>three`);
  });

  it("refuses packed files that are cut off, changed or not packed", async () => {
    const folder = await temporary();
    const packed = gzipSync("what is past and passing and to come ".repeat(99));
    const changed = Uint8Array.from(packed);
    changed[packed.length - 6]! ^= 1;
    for (const bytes of [packed.subarray(0, -9), changed, Buffer.from("no gzip")]) {
      const path = join(folder, "text.txt.gz");
      await writeFile(path, bytes);
      const error = await readDocuments(path).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(DataError);
      expect((error as DataError).message).toMatch(/text .*gz: must be packed by gzip.*\(Z_\w+\); fetch it again/);
    }
  });
});
