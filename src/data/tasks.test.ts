import { describe, expect, it } from "vitest";
import { associativeRecall, type Batch, inductionHeads, selectiveCopying } from "./index.ts";

const rowsOf = (values: Int32Array, { length }: Batch): number[][] =>
  Array.from({ length: values.length / length }, (_, row) => [...values.subarray(row * length, (row + 1) * length)]);
const take = async (source: { batch(step: number): Batch | Promise<Batch> }, step: number): Promise<Batch> =>
  source.batch(step);

describe("inductionHeads", () => {
  const source = inductionHeads({ length: 20, batch: 500, seed: 3 });

  it("writes the trigger twice and asks at the end for what followed the first", async () => {
    const batch = await take(source, 0);
    const targets = rowsOf(batch.targets, batch);
    const places = new Array<number>(20).fill(0);
    const answers = new Array<number>(16).fill(0);
    rowsOf(batch.ids, batch).forEach((row, i) => {
      const first = row.indexOf(15);
      expect(row.filter((id) => id === 15)).toHaveLength(2);
      expect(row[19]).toBe(15);
      expect(targets[i]!.slice(0, 19).every((target) => target === -1)).toBe(true);
      expect(targets[i]![19]).toBe(row[first + 1]);
      places[first]!++;
      answers[row[first + 1]!]!++;
    });
    // 500 draws over 18 places and 15 answers: five standard deviations from the mean stay inside these
    expect(places.slice(18)).toEqual([0, 0]);
    expect(Math.min(...places.slice(0, 18))).toBeGreaterThan(3);
    expect(Math.max(...places)).toBeLessThan(56);
    expect(answers[15]).toBe(0);
    expect(Math.min(...answers.slice(0, 15))).toBeGreaterThan(5);
  });

  it("asks once from step `queriesUntil` on", async () => {
    const source = inductionHeads({ length: 12, queries: 3, queriesUntil: 2, batch: 200, seed: 5 });
    const scored = async (step: number) => (await source.batch(step)).targets.filter((target) => target >= 0).length;
    expect(await scored(1)).toBeGreaterThan(250);
    expect(await scored(2)).toBe(200);
    expect(await scored(9)).toBe(200);
  });

  it("asks up to `queries` times in a row, always for what followed the first trigger", async () => {
    const batch = await take(inductionHeads({ length: 12, queries: 3, batch: 900, seed: 5 }), 1);
    const targets = rowsOf(batch.targets, batch);
    const counts = new Array<number>(4).fill(0);
    const sets = new Map<string, number>();
    rowsOf(batch.ids, batch).forEach((row, i) => {
      const places = row.flatMap((id, place) => (id === 15 ? [place] : []));
      const [first, ...asked] = places as [number, ...number[]];
      expect(asked.at(-1)).toBe(11);
      const answer = row[first + 1]!;
      expect(targets[i]).toEqual(row.map((_, place) => (asked.includes(place) ? answer : -1)));
      for (const place of places.slice(0, -1)) expect(row[place + 1]).toBe(answer);
      counts[asked.length]!++;
      if (asked.length === 3) sets.set(`${places}`, (sets.get(`${places}`) ?? 0) + 1);
    });
    // 900 draws of 3: 300 each, standard deviation 14
    expect(Math.min(...counts.slice(1))).toBeGreaterThan(230);
    // 3 of 10 places, none adjacent: 56 sets; 300 draws leave out 0.25 of them on average
    expect(sets.size).toBeGreaterThan(50);
    expect(sets.size).toBeLessThanOrEqual(56);
    expect(Math.max(...sets.values())).toBeLessThan(20);
  });

  it("is a pure function of the step", async () => {
    const [a, again, b] = [await take(source, 7), await take(source, 7), await take(source, 8)];
    expect(again).toEqual(a);
    expect(b.ids).not.toEqual(a.ids);
    const other = await take(inductionHeads({ length: 20, batch: 500, seed: 4 }), 7);
    expect(other.ids).not.toEqual(a.ids);
  });

  it("refuses sizes that cannot be", () => {
    expect(() => inductionHeads({ length: 2, batch: 1, seed: 0 })).toThrow(/length must be a whole number from 3/);
    expect(() => inductionHeads({ length: 9, batch: 0, seed: 0 })).toThrow(/batch must be a whole number from 1/);
    expect(() => inductionHeads({ length: 9, queries: 0, batch: 1, seed: 0 })).toThrow(
      /queries must be a whole number/,
    );
    expect(() => inductionHeads({ length: 8, queries: 4, batch: 1, seed: 0 })).toThrow(/length must .* from 9 to/);
  });
});

describe("selectiveCopying", () => {
  it("asks at the markers for the tokens among the noise, in order", async () => {
    const batch = await take(selectiveCopying({ length: 30, tokens: 5, batch: 300, seed: 1 }), 2);
    expect(batch.length).toBe(40);
    const targets = rowsOf(batch.targets, batch);
    const used = new Array<number>(35).fill(0);
    rowsOf(batch.ids, batch).forEach((row, i) => {
      const data = row.slice(0, 35).filter((id) => id > 0);
      expect(data).toHaveLength(5);
      expect(data.every((id) => id <= 14)).toBe(true);
      expect(row.slice(35)).toEqual([15, 15, 15, 15, 15]);
      expect(targets[i]!.slice(35)).toEqual(data);
      expect(targets[i]!.slice(0, 35).every((target) => target === -1)).toBe(true);
      row.slice(0, 35).forEach((id, place) => {
        if (id > 0) used[place]!++;
      });
    });
    // each of 35 slots holds data in 1 of 7 rows: 43 of 300, standard deviation 6
    expect(Math.min(...used)).toBeGreaterThan(13);
    expect(Math.max(...used)).toBeLessThan(73);
  });
});

describe("associativeRecall", () => {
  it("asks once for every key, and the answer is its value", async () => {
    const batch = await take(associativeRecall({ length: 32, pairs: 6, vocabSize: 40, batch: 50, seed: 9 }), 1);
    const targets = rowsOf(batch.targets, batch);
    rowsOf(batch.ids, batch).forEach((row, i) => {
      const pairs = new Map(Array.from({ length: 6 }, (_, k) => [row[2 * k]!, row[2 * k + 1]!] as const));
      expect(pairs.size).toBe(6);
      for (const [key, value] of pairs) {
        expect(key).toBeGreaterThan(0);
        expect(key).toBeLessThan(20);
        expect(value).toBeGreaterThanOrEqual(20);
      }
      const asked = row.flatMap((id, place) => (place >= 12 && id > 0 ? [[id, targets[i]![place]!] as const] : []));
      expect(new Map(asked)).toEqual(new Map(pairs));
      expect(asked).toHaveLength(6);
      expect(targets[i]!.filter((target) => target >= 0)).toHaveLength(6);
    });
  });

  it("refuses pairs that do not fit", () => {
    expect(() => associativeRecall({ length: 17, pairs: 6, vocabSize: 40, batch: 1, seed: 0 })).toThrow(
      /6 pairs must fit/,
    );
    expect(() => associativeRecall({ length: 99, pairs: 20, vocabSize: 40, batch: 1, seed: 0 })).toThrow(/must fit/);
  });
});
