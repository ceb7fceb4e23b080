import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { type LabelledSource, STAY_INPUT_SIZE } from "../data/index.ts";
import { checkField } from "./config-check.ts";
import { labelledDataVariants } from "./config-labelled.ts";
import { type LabelledDataConfig, openLabelledData, openLabelledTest } from "./labelled-data.ts";

const folder = mkdtempSync(join(tmpdir(), "mamba-labelled-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A configuration's data with its defaults. */
function complete(given: Record<string, unknown>): LabelledDataConfig {
  const field = { kind: "variants", about: "", variants: labelledDataVariants } as const;
  return checkField(field, given, "data") as LabelledDataConfig;
}

async function labelsOf(source: LabelledSource, steps: number): Promise<number[]> {
  const labels: number[] = [];
  for (let step = 0; step < steps; step++) labels.push(...(await source.batch(step)).labels);
  return labels;
}

function writeImages(): void {
  const idx = (shape: readonly number[], values: readonly number[]): Uint8Array =>
    Uint8Array.from([0, 0, 8, shape.length, ...shape.flatMap((size) => [0, 0, 0, size]), ...values]);
  for (const [prefix, count] of [
    ["train", 20],
    ["t10k", 7],
  ] as const) {
    const numbers = Array.from({ length: count }, (_, i) => i);
    const pixels = numbers.flatMap((i) => [i, 0, 10 * i, 255]);
    writeFileSync(join(folder, `${prefix}-images-idx3-ubyte`), idx([count, 2, 2], pixels));
    writeFileSync(
      join(folder, `${prefix}-labels-idx1-ubyte`),
      idx(
        [count],
        numbers.map((i) => i % 10),
      ),
    );
  }
}

function writeStays(): void {
  for (const set of ["a", "b"]) {
    mkdirSync(join(folder, `set-${set}`));
    const first = set === "a" ? 100 : 200;
    const ids = Array.from({ length: 10 }, (_, i) => first + i);
    const died = (id: number): number => (id % 5 === 0 ? 1 : 0);
    const head = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death";
    const outcomes = [head, ...ids.map((id) => `${id},1,1,1,-1,${died(id)}`)];
    writeFileSync(join(folder, `Outcomes-${set}.txt`), `${outcomes.join("\n")}\n`);
    for (const id of ids) {
      const lines = ["Time,Parameter,Value", `00:00,RecordID,${id}`, "00:00,Age,50", "00:00,ICUType,1"];
      for (let hour = 1; hour <= 1 + (id % 4); hour++) lines.push(`0${hour}:30,HR,${70 + id}`);
      writeFileSync(join(folder, `set-${set}`, `${id}.txt`), `${lines.join("\n")}\n`);
    }
  }
}

describe("labelled data of a configuration", () => {
  it("keeps images for validation, whatever the seed of the run, and tests on others", async () => {
    writeImages();
    const data = complete({ images: "mnist", folder, permutationSeed: 1, validationShare: 0.25 });
    const options = { data, batch: 3, length: 99, seed: 5 };
    const { training, validation, validationBatches } = await openLabelledData(options);
    expect(training).toMatchObject({ input: { inputSize: 1 }, classes: 10, rows: 15 });
    expect(validationBatches).toBe(2);
    const kept = await labelsOf(validation!, 2);
    expect(kept).toHaveLength(5);
    const shuffled = await labelsOf(training, 5);
    expect([...shuffled, ...kept].sort()).toEqual(Array.from({ length: 20 }, (_, i) => i >> 1));
    const again = await openLabelledData({ ...options, seed: 6 });
    expect(await labelsOf(again.validation!, 2)).toEqual(kept);
    expect(await labelsOf(again.training, 5)).not.toEqual(shuffled);
    const { source, batches } = await openLabelledTest(options);
    expect(batches).toBe(3);
    expect(await labelsOf(source, 3)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it("standardises stays by those that are trained on", async () => {
    writeStays();
    const data = complete({ series: "physionet-2012", folder, validationShare: 0.2, balanced: true });
    const options = { data, batch: 4, length: 3, seed: 0 };
    const { training, validation } = await openLabelledData(options);
    expect(training).toMatchObject({ input: { inputSize: STAY_INPUT_SIZE }, classes: 2, rows: 8 });
    const batch = await training.batch(0);
    expect([...batch.labels]).toEqual([0, 1, 0, 1]);
    expect(batch.length).toBeLessThanOrEqual(3);
    expect(batch.deltas).toHaveLength(batch.batch * batch.length);
    expect(await labelsOf(validation!, 1)).toHaveLength(2);
    const { source } = await openLabelledTest({ ...options, data: complete({ ...data, times: "regular" }) });
    expect(await labelsOf(source, 3)).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    const tested = await source.batch(0);
    expect(tested.deltas).toBeUndefined();
    // heart rates of set b are 100 higher than any trained on: moved to the highest of those
    const highest = Math.max(...tested.values!);
    expect(highest).toBeLessThan(2);
    expect(highest).toBeGreaterThan(1);
  });

  it("draws expressions of training, validation and test apart", async () => {
    const data = complete({ task: "list-ops", minLength: 10 });
    const options = { data, batch: 8, length: 40, seed: 1 };
    const { training, validation } = await openLabelledData(options);
    const { source } = await openLabelledTest(options);
    const rows = await Promise.all([training, validation!, source].map(async (own) => [...(await own.batch(0)).ids!]));
    expect(training).toMatchObject({ input: { vocabSize: 16 }, classes: 10 });
    expect(rows[1]).not.toEqual(rows[0]);
    expect(rows[2]).not.toEqual(rows[0]);
    expect(rows[2]).not.toEqual(rows[1]);
  });
});
