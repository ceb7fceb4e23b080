import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  type Batch,
  type BatchSource,
  openTokenFile,
  shuffledWindows,
  streamedWindows,
  type TokenFile,
  tokensOf,
  validationWindows,
  writeTokenFile,
} from "./index.ts";

/** Tokens whose id is their place. */
const places = (count: number): TokenFile =>
  tokensOf(
    Array.from({ length: count }, (_, i) => i),
    [0],
    count,
  );
const upTo = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, i) => first + i);
const batchesOf = (source: BatchSource, first: number, end: number): Promise<Batch[]> =>
  Promise.all(upTo(first, end).map((step) => source.batch(step)));
const rowsOf = (batches: readonly Batch[], field: "ids" | "targets"): number[][] =>
  batches.flatMap((one) =>
    upTo(0, one.batch).map((row) => [...one[field].subarray(row * one.length, (row + 1) * one.length)]),
  );

describe("shuffledWindows", () => {
  // 199 tokens hold 66 windows of 3, of which an epoch has 65; batches of 7 go across epochs
  const source = shuffledWindows(places(199), { length: 3, batch: 7, seed: 4 });
  const epochs = async (): Promise<number[][]> => {
    const starts = rowsOf(await batchesOf(source, 0, 60), "ids").map((row) => row[0]!);
    return upTo(0, 6).map((epoch) => starts.slice(epoch * source.rows, (epoch + 1) * source.rows));
  };

  it("gives every window of an epoch's grid once", async () => {
    expect(source.rows).toBe(65);
    for (const starts of await epochs()) {
      const sorted = [...starts].sort((a, b) => a - b);
      expect(sorted).toEqual(upTo(0, 65).map((window) => sorted[0]! + 3 * window));
      expect(sorted[64]! + 3).toBeLessThan(199);
      expect(starts).not.toEqual(sorted);
    }
  });

  it("moves the grid and the order from epoch to epoch, so that every token is seen", async () => {
    const all = await epochs();
    expect(new Set(all.map((starts) => Math.min(...starts))).size).toBeGreaterThan(1);
    const [first, second] = all.map((starts) => starts.map((start) => start - Math.min(...starts)));
    expect(first).not.toEqual(second);
    const targets = rowsOf(await batchesOf(source, 0, 300), "targets").flat();
    expect(new Set(targets)).toEqual(new Set(upTo(1, 199)));
  });

  it("scores each token of a window with the next", async () => {
    const batches = await batchesOf(source, 0, 3);
    const ids = rowsOf(batches, "ids");
    expect(ids.every((row) => row[1] === row[0]! + 1 && row[2] === row[0]! + 2)).toBe(true);
    expect(rowsOf(batches, "targets")).toEqual(ids.map((row) => row.map((id) => id + 1)));
  });

  it("is a pure function of seed and step", async () => {
    const again = shuffledWindows(places(199), { length: 3, batch: 7, seed: 4 });
    const [later, earlier] = [await again.batch(41), await again.batch(2)];
    expect(later).toEqual(await source.batch(41));
    expect(earlier).toEqual(await source.batch(2));
    const other = shuffledWindows(places(199), { length: 3, batch: 7, seed: 5 });
    expect((await other.batch(2)).ids).not.toEqual(earlier.ids);
  });

  it("makes do with a single window, and batches larger than an epoch", async () => {
    const { ids, targets } = await shuffledWindows(places(5), { length: 4, batch: 2, seed: 0 }).batch(0);
    expect([...ids, ...targets]).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4]);
    expect(() => shuffledWindows(places(4), { length: 4, batch: 2, seed: 0 })).toThrow(
      /need data of at least 5 tokens; it holds 4/,
    );
    expect(() => shuffledWindows(places(5), { length: 0, batch: 2, seed: 0 })).toThrow(/length must be a whole number/);
    expect(() => shuffledWindows(places(5), { length: 1, batch: 2, seed: 0.5 })).toThrow(/seed must be a whole number/);
  });

  it("reads the same from a file as from memory", async () => {
    const path = join(await mkdtemp(join(tmpdir(), "mamba-windows-")), "a.tokens");
    const ids = Array.from({ length: 100_000 }, (_, i) => Math.imul(i, 40503) & 0xff);
    await writeTokenFile(path, 256, [ids]);
    const file = await openTokenFile(path);
    const options = { length: 50, batch: 40, seed: 1 };
    const stored = shuffledWindows(file, options);
    const held = shuffledWindows(tokensOf(ids, [0], 256), options);
    for (const step of [0, 1, 99]) expect(await stored.batch(step)).toEqual(await held.batch(step));
    await file.close();
  });
});

describe("streamedWindows", () => {
  // 3 rows of 2 windows of 5 take 31 tokens; 13 more are too few for another batch
  const source = streamedWindows(places(44), { length: 5, batch: 3 });

  it("lets every row walk its own share, and begins the second pass further on", async () => {
    expect(source.batches).toBe(2);
    const batches = await batchesOf(source, 0, 5);
    const walked = (pass: number, row: number): number[] =>
      batches.slice(2 * pass, 2 * pass + 2).flatMap((one) => rowsOf([one], "ids")[row]!);
    expect([0, 1, 2].map((row) => walked(0, row))).toEqual([upTo(0, 10), upTo(10, 20), upTo(20, 30)]);
    expect([0, 1, 2].map((row) => walked(1, row))).toEqual([upTo(13, 23), upTo(23, 33), upTo(33, 43)]);
    expect(batches[4]).toEqual(batches[0]);
    expect(rowsOf(batches, "targets").flat()).toEqual(
      rowsOf(batches, "ids")
        .flat()
        .map((id) => id + 1),
    );
  });

  it("continues but where a pass begins", async () => {
    const batches = await batchesOf(source, 0, 6);
    expect(batches.map((one) => one.continues)).toEqual([false, true, false, true, false, true]);
  });

  it("predicts every token in one of two passes", async () => {
    for (const count of [31, 36, 45, 60]) {
      const each = streamedWindows(places(count), { length: 5, batch: 3 });
      const targets = rowsOf(await batchesOf(each, 0, 2 * each.batches), "targets").flat();
      expect(new Set(targets)).toEqual(new Set(upTo(1, count)));
    }
  });

  it("refuses data too short for one batch", () => {
    expect(streamedWindows(places(16), { length: 5, batch: 3 }).batches).toBe(1);
    expect(() => streamedWindows(places(15), { length: 5, batch: 3 })).toThrow(
      /3 rows of 5 tokens need data of at least 16 tokens; it holds 15/,
    );
  });
});

describe("validationWindows", () => {
  it.each([2, 3, 20, 21, 22, 40, 41])("predicts each of %i tokens but the first once, in order", async (count) => {
    const source = validationWindows(places(count), { length: 5, batch: 4 });
    expect(source.batches).toBe(Math.ceil((count - 1) / 20));
    const batches = await batchesOf(source, 0, source.batches);
    const targets = batches.flatMap((one) => [...one.targets]);
    expect(targets.slice(0, count - 1)).toEqual(upTo(1, count));
    expect(targets.slice(count - 1).every((target) => target === -1)).toBe(true);
    const ids = batches.flatMap((one) => [...one.ids]);
    expect(ids.slice(0, count - 1)).toEqual(upTo(0, count - 1));
    expect(ids.slice(count - 1).every((id) => id === 0)).toBe(true);
    expect(await source.batch(source.batches)).toEqual(batches[0]);
  });

  it("refuses a single token", () => {
    expect(() => validationWindows(places(1), { length: 5, batch: 4 })).toThrow(/at least 2 tokens; it holds 1/);
  });
});
