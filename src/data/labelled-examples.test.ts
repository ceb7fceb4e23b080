import { describe, expect, it } from "vitest";
import { holdOut, type LabelledExamples, orderedExamples, pickExamples, shuffledExamples } from "./index.ts";

/** Example i has i % 3 + 1 rows of the number i, and is of class 1 if i is divisible by 5. */
function examplesOf(count: number, isIrregular = false): LabelledExamples {
  return {
    ...{ count, classes: 2, inputSize: 1 },
    labels: Int32Array.from({ length: count }, (_, i) => (i % 5 === 0 ? 1 : 0)),
    sequence: (i) => {
      const rows = (i % 3) + 1;
      const values = new Float32Array(rows).fill(i);
      return isIrregular ? { values, rows, deltas: new Float32Array(rows).fill(i / 2) } : { values, rows };
    },
  };
}

/** The first number of each row tells the example. */
async function numbersOf(source: ReturnType<typeof shuffledExamples>, steps: number): Promise<number[]> {
  const numbers: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { values, batch, length } = await source.batch(step);
    for (let row = 0; row < batch; row++) numbers.push(values![row * length]!);
  }
  return numbers;
}

const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);
const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("shuffledExamples", () => {
  it("takes every example once an epoch, each in an order of its own", async () => {
    const source = shuffledExamples(examplesOf(23), { batch: 4, seed: 1 });
    const numbers = await numbersOf(source, 12);
    const [first, second] = [numbers.slice(0, 23), numbers.slice(23, 46)];
    expect(source.rows).toBe(23);
    expect(sorted(first)).toEqual(all(23));
    expect(sorted(second)).toEqual(all(23));
    expect(second).not.toEqual(first);
    expect(await source.batch(7)).toEqual(await source.batch(7));
    expect(await numbersOf(shuffledExamples(examplesOf(23), { batch: 4, seed: 2 }), 12)).not.toEqual(numbers);
  });

  it("takes classes in turn where asked", async () => {
    const source = shuffledExamples(examplesOf(20), { batch: 8, seed: 1, balanced: true });
    const numbers = await numbersOf(source, 4);
    const rare = numbers.filter((_, i) => i % 2 === 1);
    expect(rare.every((i) => i % 5 === 0)).toBe(true);
    for (let at = 0; at < 16; at += 4) expect(sorted(rare.slice(at, at + 4))).toEqual([0, 5, 10, 15]);
    const others = numbers.filter((_, i) => i % 2 === 0);
    expect(sorted(others)).toEqual(all(20).filter((i) => i % 5 !== 0));
    expect([...(await source.batch(1)).labels]).toEqual([0, 1, 0, 1, 0, 1, 0, 1]);
  });
});

describe("orderedExamples", () => {
  it("gives all once, padded to the longest of a batch", async () => {
    const source = orderedExamples(examplesOf(5, true), { batch: 3 });
    expect(source).toMatchObject({ batches: 2, classes: 2, input: { inputSize: 1 } });
    expect(await source.batch(0)).toEqual({
      ...{ batch: 3, length: 3, labels: Int32Array.of(1, 0, 0), lengths: Int32Array.of(1, 2, 3) },
      values: Float32Array.of(0, 0, 0, 1, 1, 0, 2, 2, 2),
      deltas: Float32Array.of(0, 0, 0, 0.5, 0.5, 0, 1, 1, 1),
    });
    expect(await source.batch(1)).toMatchObject({ batch: 2, length: 2, values: Float32Array.of(3, 0, 4, 4) });
    expect(await source.batch(2)).toEqual(await source.batch(0));
  });

  it("leaves out what is the same everywhere", async () => {
    const source = orderedExamples(pickExamples(examplesOf(9), Int32Array.of(7, 1, 4)), { batch: 3 });
    expect(await source.batch(0)).toEqual({
      ...{ batch: 3, length: 2, labels: Int32Array.of(0, 0, 0) },
      values: Float32Array.of(7, 7, 1, 1, 4, 4),
    });
  });

  it("refuses to make batches of nothing", () => {
    expect(() => orderedExamples(examplesOf(0), { batch: 1 })).toThrow(/examples.count must be .* from 1/);
    expect(() => shuffledExamples(examplesOf(3), { batch: 0, seed: 0 })).toThrow(/batch must be/);
  });
});

describe("holdOut", () => {
  it("shares all examples out, the same for the same seed", () => {
    const { training, validation } = holdOut(1000, { share: 0.1, seed: 4 });
    expect([training.length, validation.length]).toEqual([900, 100]);
    expect(sorted([...training, ...validation])).toEqual(all(1000));
    expect(holdOut(1000, { share: 0.1, seed: 4 }).validation).toEqual(validation);
    expect(holdOut(1000, { share: 0.1, seed: 5 }).validation).not.toEqual(validation);
    // spread over all of them: mean 500, standard deviation of the mean 29
    expect(Math.abs(validation.reduce((sum, i) => sum + i, 0) / 100 - 500)).toBeLessThan(145);
  });

  it("refuses a share that leaves one side empty", () => {
    for (const share of [0, 0.01, 1, Number.NaN]) expect(() => holdOut(10, { share, seed: 0 })).toThrow(/both sides/);
  });
});
