import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readIdx } from "./idx.ts";

const two = Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6);

describe("readIdx", () => {
  it("reads shape and elements, packed or not", async () => {
    for (const bytes of [two, Uint8Array.from(gzipSync(two))]) {
      const { shape, values } = await readIdx("two", bytes);
      expect(shape).toEqual([2, 3]);
      expect([...values]).toEqual([1, 2, 3, 4, 5, 6]);
    }
  });

  it("refuses what is damaged", async () => {
    const cases: [Uint8Array<ArrayBuffer>, string][] = [
      [two.slice(0, 17), "6 elements must follow; got 5"],
      [two.slice(0, 9), "sizes of 2 axes must follow"],
      [Uint8Array.of(1, 2, 3, 4), "must begin with two zero bytes"],
      [Uint8Array.of(0, 0, 13, 1), "got type 13"],
      [Uint8Array.from(gzipSync(two)).slice(0, 20), "must be packed by gzip"],
      [new Uint8Array(0), "must begin with two zero bytes"],
    ];
    for (const [bytes, message] of cases) await expect(readIdx("file", bytes)).rejects.toThrow(message);
  });
});
