import { mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sha256 } from "#platform";
import { openTokenFile, split, tokensOf, writeTokenFile } from "./index.ts";

const folder = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-tokens-"));
const bytesOf = async (path: string): Promise<Buffer<ArrayBuffer>> => Buffer.from(await readFile(path));

/** Numbers that look random and are the same every time. */
const idsBelow = (bound: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.imul(i + 1, 2654435761) >>> 0).map((word) => word % bound);

async function written(vocabSize: number, documents: number[][], tokenizer?: string): Promise<string> {
  const path = join(await folder(), "a.tokens");
  await writeTokenFile(path, vocabSize, documents, { tokenizer });
  return path;
}

/** Puts the digest right again after a change of head, starts or counts: the file of somebody who means harm. */
async function resealed(bytes: Buffer<ArrayBuffer>, tokenBytes: number): Promise<Buffer<ArrayBuffer>> {
  const digestAt = bytes.length - 40;
  bytes.set(await sha256(bytes.subarray(0, 64), bytes.subarray(64 + tokenBytes, digestAt)), digestAt);
  return bytes;
}

describe("writeTokenFile and openTokenFile", () => {
  it.each([
    [65536, 2],
    [65537, 4],
  ])("keeps ids below %i in %i bytes each, over many blocks", async (vocabSize, width) => {
    const documents = [idsBelow(vocabSize, 70_001), [vocabSize - 1], idsBelow(vocabSize, 32_768)];
    const path = await written(vocabSize, documents);
    const all = documents.flat();
    const blocks = Math.ceil((all.length * width) / 65536);
    expect((await stat(path)).size).toBe(64 + all.length * width + 3 * 8 + blocks * 32 + 56);
    const tokens = await openTokenFile(path);
    expect([tokens.vocabSize, tokens.length]).toEqual([vocabSize, all.length]);
    expect([...Array.from(tokens.documentStarts)]).toEqual([0, 70_001, 70_002]);
    expect(await tokens.read(0, all.length)).toEqual(Int32Array.from(all));
    for (const [start, end] of [
      [32_767, 32_769],
      [16_384, 16_385],
      [70_000, 70_003],
      [5, 5],
    ] as const) {
      expect(await tokens.read(start, end)).toEqual(Int32Array.from(all.slice(start, end)));
    }
    await tokens.close();
  });

  it("lies in the file as documented", async () => {
    const bytes = await bytesOf(await written(300, [[1, 2, 299], [7]], "my tokenizer"));
    expect(bytes.subarray(0, 8).toString()).toBe("mambatok");
    expect([8, 12, 16, 20, 24, 28].map((at) => bytes.readUInt32LE(at))).toEqual([1, 2, 300, 0, 0, 0]);
    // printf "my tokenizer" | sha256sum
    expect(bytes.subarray(32, 64).toString("hex")).toBe(
      "3add092c7d1bfa6d6f7636313de6e191fef6eda8dba072e24a1b5a2e30ecd898",
    );
    expect([64, 66, 68, 70].map((at) => bytes.readUInt16LE(at))).toEqual([1, 2, 299, 7]);
    expect([72, 80].map((at) => bytes.readBigUInt64LE(at))).toEqual([0n, 3n]);
    expect(bytes.subarray(88, 120)).toEqual(Buffer.from(await sha256(bytes.subarray(64, 72))));
    expect([120, 128].map((at) => bytes.readBigUInt64LE(at))).toEqual([4n, 2n]);
    expect(bytes.subarray(168).toString()).toBe("mambatok");
  });

  it("takes documents from generators, in pieces, and leaves empty ones out", async () => {
    async function* pieces(): AsyncGenerator<number[]> {
      yield [1, 2];
      yield [];
      yield [3];
    }
    async function* documents(): AsyncGenerator<number[] | Uint8Array | AsyncGenerator<number[]>> {
      yield [];
      yield pieces();
      yield Uint8Array.of(4, 5);
      yield [];
    }
    const path = join(await folder(), "a.tokens");
    await writeTokenFile(path, 6, documents());
    const tokens = await openTokenFile(path);
    expect(Array.from(tokens.documentStarts)).toEqual([0, 3]);
    expect(await tokens.read(0, tokens.length)).toEqual(Int32Array.of(1, 2, 3, 4, 5));
    await tokens.close();
  });

  it("keeps nothing as well", async () => {
    const tokens = await openTokenFile(await written(10, []));
    expect([tokens.length, tokens.documentStarts.length]).toEqual([0, 0]);
    expect(await tokens.read(0, 0)).toHaveLength(0);
    await tokens.close();
  });

  it("leaves the older file if a document holds an id that is not of the vocabulary", async () => {
    const path = await written(10, [[1, 2, 3]]);
    const before = await bytesOf(path);
    for (const id of [10, -1, 1.5, Number.NaN]) {
      await expect(writeTokenFile(path, 10, [[4], [5, id]])).rejects.toMatchObject({
        code: "CONFIG",
        message: expect.stringMatching(/document 1: ids must be whole numbers from 0 to 9; got .+ at 1; use/),
      });
    }
    expect(await bytesOf(path)).toEqual(before);
    expect(await readdir(join(path, ".."))).toEqual(["a.tokens"]);
    await expect(writeTokenFile(path, 0, [])).rejects.toThrow(/vocabSize must be a whole number from 1/);
  });

  it("holds the tokenizer against the one that wrote", async () => {
    const path = await written(10, [[1, 2]], "bytes");
    await (await openTokenFile(path, { tokenizer: "bytes" })).close();
    await (await openTokenFile(path)).close();
    await expect(openTokenFile(path, { tokenizer: "words" })).rejects.toMatchObject({
      code: "CHECKPOINT",
      message: expect.stringMatching(/must be of the tokenizer "words"; they are of another; write it again/),
    });
    await expect(openTokenFile(await written(10, [[1]]), { tokenizer: "words" })).rejects.toThrow(/does not say which/);
  });

  it("refuses ranges outside the tokens, and reads after closing", async () => {
    const tokens = await openTokenFile(await written(10, [[1, 2, 3]]));
    for (const [start, end] of [
      [0, 4],
      [-1, 2],
      [2, 1],
      [0.5, 2],
    ] as const) {
      await expect(tokens.read(start, end)).rejects.toThrow(`tokens ${start} to ${end} must lie within its 3 tokens`);
    }
    await tokens.read(0, 3);
    await tokens.close();
    await tokens.close();
    await expect(tokens.read(0, 3)).rejects.toMatchObject({ code: "DISPOSED" });
  });
});

describe("a damaged token file", () => {
  it("is refused wherever it is cut off", async () => {
    const path = await written(300, [[1, 2, 299], [7]]);
    const bytes = await bytesOf(path);
    for (let size = 0; size < bytes.length; size++) {
      await writeFile(path, bytes.subarray(0, size));
      await expect(openTokenFile(path), `${size} bytes`).rejects.toMatchObject({ code: "CHECKPOINT" });
    }
    await writeFile(path, Buffer.concat([bytes, bytes.subarray(0, 1)]));
    await expect(openTokenFile(path)).rejects.toThrow(/must end with "mambatok"/);
  });

  it("is refused whichever bit is turned, on opening or on reading", async () => {
    const path = await written(300, [[1, 2, 299], [7]], "bytes");
    const bytes = await bytesOf(path);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (at % 8);
      await writeFile(path, changed);
      const use = async (): Promise<void> => {
        const tokens = await openTokenFile(path);
        await tokens.read(0, tokens.length).finally(() => tokens.close());
      };
      await expect(use(), `byte ${at}`).rejects.toMatchObject({ code: "CHECKPOINT" });
    }
  });

  it("is refused if it says what cannot be, under a right digest", async () => {
    const path = await written(300, [[1, 2, 299], [7]]);
    const bytes = await bytesOf(path);
    const refusal = async (change: (bytes: Buffer) => void): Promise<unknown> => {
      const changed = Buffer.from(bytes);
      change(changed);
      await writeFile(path, await resealed(changed, 8));
      return openTokenFile(path).catch((error) => error);
    };
    const expectations: [(bytes: Buffer) => void, RegExp][] = [
      [(b) => b.write("M", 0), /must begin with "mambatok"/],
      [(b) => b.writeUInt32LE(2, 8), /its version must be 1; it is 2/],
      [(b) => b.writeUInt32LE(4, 12), /a token of 300 must take 2 bytes; it takes 4/],
      [(b) => b.writeUInt32LE(0, 16), /vocabulary must be from 1 to/],
      [(b) => b.writeUInt32LE(2 ** 32 - 1, 16), /vocabulary must be from 1 to 2147483648/],
      [(b) => b.writeBigUInt64LE(2n ** 64n - 1n, 120), /must take .+ bytes; it has 176/],
      [(b) => b.writeBigUInt64LE(2n ** 61n, 128), /must take .+ bytes; it has 176/],
      [(b) => b.writeBigUInt64LE(1n, 72), /the first document must begin at 0; it begins at 1/],
      [(b) => b.writeBigUInt64LE(4n, 80), /document 1 is from 4 to 4/],
      [(b) => b.writeBigUInt64LE(2n ** 63n, 80), /document 0 is from 0 to 9223372036854776000/],
    ];
    for (const [change, message] of expectations) {
      expect(await refusal(change)).toMatchObject({ code: "CHECKPOINT", message: expect.stringMatching(message) });
    }
    expect(await refusal(() => {})).toMatchObject({ length: 4 });
  });

  it("gives no id that is not of the vocabulary", async () => {
    const path = await written(300, [[1, 2, 299], [7]]);
    const bytes = await bytesOf(path);
    bytes.writeUInt16LE(300, 66);
    bytes.set(await sha256(bytes.subarray(64, 72)), 88);
    await writeFile(path, await resealed(bytes, 8));
    const tokens = await openTokenFile(path);
    await expect(tokens.read(3, 4)).rejects.toThrow(/ids must be below 300; token 1 is 300/);
    await tokens.close();
  });

  it("is read again after a read that failed", async () => {
    const path = await written(300, [[1, 2, 299], [7]]);
    const bytes = await bytesOf(path);
    let fails = true;
    const tokens = await openTokenFile({
      name: "flaky",
      byteLength: bytes.length,
      read: async (start, end) => {
        if (start === 64 && end === 72 && fails) throw new Error("gone");
        return new Uint8Array(bytes.subarray(start, end));
      },
      close: async () => {},
    });
    await expect(tokens.read(0, 4)).rejects.toThrow("gone");
    fails = false;
    expect(await tokens.read(2, 4)).toEqual(Int32Array.of(299, 7));
  });
});

describe("tokensOf", () => {
  it("gives ids in memory, as copies", async () => {
    const tokens = tokensOf([3, 1, 2], [0, 2], 4);
    (await tokens.read(0, 3)).fill(0);
    expect(await tokens.read(1, 3)).toEqual(Int32Array.of(1, 2));
    expect([tokens.vocabSize, tokens.length]).toEqual([4, 3]);
    await expect(tokens.read(1, 4)).rejects.toThrow(/tokens 1 to 4 must lie within its 3/);
  });

  it("refuses ids and starts that cannot be", () => {
    expect(() => tokensOf([1, 4], [0], 4)).toThrow(/from 0 to 3; got 4 at 1/);
    expect(() => tokensOf([1, 2], [], 4)).toThrow(/documents must begin at 0; got none in 2 tokens/);
    expect(() => tokensOf([1, 2], [1], 4)).toThrow(/first document must begin at 0/);
    expect(() => tokensOf([1, 2], [0, 0], 4)).toThrow(/document 0 is from 0 to 0/);
    expect(() => tokensOf([1, 2], [0, 2], 4)).toThrow(/document 1 is from 2 to 2/);
  });
});

describe("split", () => {
  const ids = idsBelow(50, 20);
  const tokens = tokensOf(ids, [0, 5, 15, 18], 50);

  it("cuts tokens and documents in two", async () => {
    const { first, last } = split(tokens, 0.4);
    expect([first.length, last.length]).toEqual([12, 8]);
    expect(Array.from(first.documentStarts)).toEqual([0, 5]);
    expect(Array.from(last.documentStarts)).toEqual([0, 3, 6]);
    expect(await first.read(4, 12)).toEqual(Int32Array.from(ids.slice(4, 12)));
    expect(await last.read(1, 8)).toEqual(Int32Array.from(ids.slice(13)));
    await expect(first.read(4, 13)).rejects.toThrow(/must lie within its 12 tokens/);
    expect(Array.from(split(tokens, 0.25).last.documentStarts)).toEqual([0, 3]);
  });

  it("refuses a part without tokens", () => {
    for (const share of [0, 1, -1, 0.01, Number.NaN]) {
      expect(() => split(tokens, share)).toThrow(/share must be above 0 and below 1 and leave a token on both sides/);
    }
  });
});
