import { describe, expect, it } from "vitest";
import { Random } from "../tensor/random.ts";
import { type Batch, packedDocuments, tokensOf } from "./index.ts";
import { packRows } from "./pack-rows.ts";

/** Documents of these sizes; a token's id is its place. */
function documentsOf(sizes: readonly number[]) {
  const starts: number[] = [];
  let length = 0;
  for (const size of sizes) {
    starts.push(length);
    length += size;
  }
  const ids = Array.from({ length }, (_, i) => i);
  const documentOf = sizes.flatMap((size, document) => new Array<number>(size).fill(document));
  return { tokens: tokensOf(ids, starts, Math.max(1, length)), documentOf };
}

interface Place {
  readonly id: number;
  readonly target: number;
  readonly segment: number;
}

const rowsOf = ({ ids, targets, segmentIds, batch, length }: Batch): Place[][] =>
  Array.from({ length: batch }, (_, row) =>
    Array.from({ length }, (_, t) => {
      const at = row * length + t;
      return { id: ids[at]!, target: targets[at]!, segment: segmentIds![at]! };
    }),
  );

describe("packedDocuments", () => {
  const random = new Random(6);
  const sizes = [...Array.from({ length: 60 }, () => 1 + random.integer(12)), 1, 8, 9, 16, 17, 40];
  const { tokens, documentOf } = documentsOf(sizes);
  const source = packedDocuments(tokens, { length: 8, batch: 5, seed: 2 });
  const epoch = async (number: number): Promise<Place[][]> => {
    const [first, end] = [number * source.rows, (number + 1) * source.rows];
    const steps = Array.from({ length: Math.ceil(end / 5) }, (_, step) => step);
    const rows = (await Promise.all(steps.map((step) => source.batch(step)))).flatMap(rowsOf);
    return rows.slice(first, end);
  };

  it("predicts every token of every document but the first once an epoch", async () => {
    const expected = documentOf.flatMap((document, place) => (documentOf[place - 1] === document ? [place] : []));
    for (const number of [0, 1, 2]) {
      const targets = (await epoch(number)).flat().flatMap(({ target }) => (target >= 0 ? [target] : []));
      expect(targets.sort((a, b) => a - b)).toEqual(expected);
    }
  });

  it("keeps to one document in a segment, and ends it without a target", async () => {
    for (const row of await epoch(0)) {
      expect(row[0]!.segment).toBe(0);
      for (const [t, { id, target, segment }] of row.entries()) {
        const next = row[t + 1]?.segment ?? -1;
        const goesOn = documentOf[id] === documentOf[id + 1];
        const expected = segment < 0 ? { id: 0, target: -1 } : { id, target: goesOn ? id + 1 : -1 };
        expect({ id, target }).toEqual(expected);
        expect(segment < 0 ? [-1] : [segment, segment + 1, -1]).toContain(next);
        if (segment < 0) continue;
        if (next === segment) expect(row[t + 1]!.id).toBe(id + 1);
        // a document is cut only where a whole row is full of it
        else if (goesOn) expect([t, segment]).toEqual([7, 0]);
      }
    }
  });

  it("cuts long documents at rows' ends, and leaves out what has nothing to predict", async () => {
    const short = documentsOf([1, 9, 2, 1, 10]);
    const batch = await packedDocuments(short.tokens, { length: 4, batch: 5, seed: 0 }).batch(0);
    const rows = rowsOf(batch).map((row) => row.map(({ id, target, segment }) => `${id} ${target} ${segment}`));
    // 9 = 4 + 4 + 1 and 10 = 4 + 4 + 2; the single token behind 8 is only a target
    expect(rows.map((row) => row.join(", ")).sort()).toEqual(
      [
        "1 2 0, 2 3 0, 3 4 0, 4 5 0",
        "5 6 0, 6 7 0, 7 8 0, 8 9 0",
        "13 14 0, 14 15 0, 15 16 0, 16 17 0",
        "17 18 0, 18 19 0, 19 20 0, 20 21 0",
        "10 11 0, 11 -1 0, 21 22 1, 22 -1 1",
      ].sort(),
    );
  });

  it("draws another order each epoch, purely from seed and step", async () => {
    const [first, second] = [await epoch(0), await epoch(1)];
    expect(second).not.toEqual(first);
    const sorted = (rows: Place[][]): string[] => rows.map((row) => JSON.stringify(row)).sort();
    expect(sorted(second)).toEqual(sorted(first));
    const again = packedDocuments(tokens, { length: 8, batch: 5, seed: 2 });
    expect(await again.batch(7)).toEqual(await source.batch(7));
    const other = packedDocuments(tokens, { length: 8, batch: 5, seed: 3 });
    expect(await other.batch(7)).not.toEqual(await source.batch(7));
  });

  it("refuses data without a document of two tokens", () => {
    const options = { length: 8, batch: 5, seed: 2 };
    expect(() => packedDocuments(documentsOf([1, 1, 1]).tokens, options)).toThrow(
      /a document of at least 2 tokens; it holds 3 tokens in 3 documents/,
    );
    expect(() => packedDocuments(documentsOf([]).tokens, options)).toThrow(/it holds 0 tokens in 0 documents/);
  });
});

describe("packRows", () => {
  it("fills rows to the brim where pieces allow it", () => {
    const { pieces, rowStarts } = packRows(Int32Array.of(4, 5, 6, 5, 10, 1, 1, 8), 10);
    expect([...pieces]).toEqual([4, 7, 5, 6, 2, 0, 1, 3]);
    expect([...rowStarts]).toEqual([0, 1, 4, 6, 8]);
  });

  it("takes as many rows as best fit written plainly, and puts every piece in one", () => {
    for (let trial = 0; trial < 30; trial++) {
      const random = new Random(trial);
      const capacity = 1 + random.integer(60);
      const largest = 1 + random.integer(capacity);
      const sizes = Int32Array.from({ length: random.integer(300) }, () => 1 + random.integer(largest));
      const { pieces, rowStarts } = packRows(sizes, capacity);
      expect([...pieces].sort((a, b) => a - b)).toEqual([...sizes.keys()]);
      const used = Array.from({ length: rowStarts.length - 1 }, (_, row) =>
        pieces.subarray(rowStarts[row]!, rowStarts[row + 1]!).reduce((sum, piece) => sum + sizes[piece]!, 0),
      );
      expect(used.every((sum) => sum > 0 && sum <= capacity)).toBe(true);
      expect(used.sort((a, b) => a - b)).toEqual(bestFit([...sizes], capacity));
    }
  });
});

/** How full the rows of best fit decreasing are, sorted. */
function bestFit(sizes: number[], capacity: number): number[] {
  const used: number[] = [];
  for (const size of sizes.sort((a, b) => b - a)) {
    const fitting = used.filter((sum) => sum + size <= capacity);
    if (fitting.length === 0) used.push(size);
    else used[used.indexOf(Math.max(...fitting))]! += size;
  }
  return used.sort((a, b) => a - b);
}
