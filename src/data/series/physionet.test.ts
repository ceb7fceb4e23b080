import { describe, expect, it } from "vitest";
import { memoryFiles } from "../../checkpoints/source.ts";
import { DataError } from "../../tensor/errors.ts";
import {
  PHYSIONET_VARIABLES,
  readPhysionet2012,
  STAY_INPUT_SIZE,
  stayFeatures,
  staySequences,
  stayStatistics,
} from "../index.ts";
import { parsePhysionetOutcomes, parsePhysionetRecord } from "./physionet-record.ts";

const HEAD = "Time,Parameter,Value\n";
const record = (id: number, lines: string, age = 54): string =>
  `${HEAD}00:00,RecordID,${id}\n00:00,Age,${age}\n00:00,Gender,0\n00:00,Height,-1\n00:00,ICUType,4\n00:00,Weight,-1\n${lines}`;
const [HR, TEMP, WEIGHT] = ["HR", "Temp", "Weight"].map((name) => PHYSIONET_VARIABLES.indexOf(name)) as [
  number,
  number,
  number,
];
const stay = parsePhysionetRecord(
  "one",
  record(7, "00:30,HR,70\n00:30,Temp,36\n02:00,HR,80\n02:00,HR,90\n47:59,Temp,38\n"),
);

describe("parsePhysionetRecord", () => {
  it("makes a row of each time, with the mean of what stands twice", () => {
    expect([stay.id, ...stay.minutes]).toEqual([7, 0, 30, 120, 2879]);
    const row = (i: number) => stay.values.subarray(37 * i, 37 * (i + 1));
    expect(PHYSIONET_VARIABLES).toHaveLength(37);
    expect(row(0).every(Number.isNaN)).toBe(true);
    expect([row(1)[HR], row(1)[TEMP], row(1)[WEIGHT]]).toEqual([70, 36, Number.NaN]);
    expect([row(2)[HR], row(2)[TEMP]]).toEqual([85, Number.NaN]);
    expect([row(3)[HR], row(3)[TEMP]]).toEqual([Number.NaN, 38]);
    expect([...stay.descriptors]).toEqual([54, 0, Number.NaN, 4]);
  });

  it("takes a record in which nothing was measured", () => {
    expect([...parsePhysionetRecord("none", record(8, "")).minutes]).toEqual([0]);
  });

  it("refuses lines that do not fit, naming them", () => {
    const cases: [string, string][] = [
      ["", "line 1 must be"],
      ["Time,Parameter\n", "line 1 must be"],
      [record(7, "00:30,HR\n"), "line 8 must be a time, a parameter and a number"],
      [record(7, "00:61,HR,70\n"), "line 8"],
      [record(7, "00:30,HR,\n"), "line 8"],
      [record(7, "00:30,HR, \n"), "line 8"],
      [record(7, "00:30,HR,many\n"), 'got "00:30,HR,many"'],
      [record(7, "00:30,HR,Infinity\n"), "line 8"],
      [record(7, "00:30,Mood,7\n"), "line 8 must name a parameter"],
      [record(7, "02:00,HR,70\n01:59,HR,70\n"), "line 9 must not go back in time"],
      [record(7, "02:00,HR,70\n\n02:30,HR,70\n"), "line 9"],
      [`${HEAD}00:30,HR,70\n`, "must give its RecordID"],
    ];
    for (const [text, message] of cases) {
      expect(() => parsePhysionetRecord("file", text)).toThrow(DataError);
      expect(() => parsePhysionetRecord("file", text)).toThrow(message);
    }
  });
});

const OUTCOMES = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n";

describe("parsePhysionetOutcomes", () => {
  it("reads who died", () => {
    expect([...parsePhysionetOutcomes("o", `${OUTCOMES}7,6,1,5,-1,0\r\n9,16,8,8,3,1\r\n`)]).toEqual([
      [7, 0],
      [9, 1],
    ]);
  });

  it("refuses lines that do not fit", () => {
    const cases: [string, string][] = [
      ["RecordID,Death\n", "must have the columns"],
      [`${OUTCOMES}7,6,1,5,-1\n`, "line 2 must have 6 cells"],
      [`${OUTCOMES}7,6,1,5,-1,2\n`, "line 2"],
      [`${OUTCOMES},6,1,5,-1,1\n`, "line 2"],
      [`${OUTCOMES}7,6,1,5,-1,1\n7,6,1,5,-1,1\n`, "line 3 must name another record"],
    ];
    for (const [text, message] of cases) {
      expect(() => parsePhysionetOutcomes("o", text)).toThrow(DataError);
      expect(() => parsePhysionetOutcomes("o", text)).toThrow(message);
    }
  });
});

describe("readPhysionet2012", () => {
  const files = {
    "Outcomes-a.txt": `${OUTCOMES}9,16,8,8,3,1\n7,6,1,5,-1,0\n`,
    "set-a/7.txt": record(7, "00:30,HR,70\n"),
    "set-a/9.txt": record(9, "01:00,HR,80\n"),
  };

  it("joins records and outcomes", async () => {
    const stays = await readPhysionet2012(memoryFiles(files), "a");
    expect(stays.map(({ id, label, minutes }) => [id, label, ...minutes])).toEqual([
      [9, 1, 0, 60],
      [7, 0, 0, 30],
    ]);
  });

  it("refuses a set that is not whole", async () => {
    const { "set-a/9.txt": nine, ...missing } = files;
    const read = (given: Record<string, string>) => readPhysionet2012(memoryFiles(given), "a");
    await expect(read(missing)).rejects.toThrow(/must hold set-a\/9.txt; it does not; unpack the set there, with tar/);
    await expect(readPhysionet2012(memoryFiles(files), "b")).rejects.toThrow("Outcomes-b.txt");
    await expect(read({ ...files, "set-a/7.txt": nine })).rejects.toThrow("must hold record 7; it holds 9");
    await expect(read({ "Outcomes-a.txt": OUTCOMES })).rejects.toThrow("it names none");
  });
});

describe("stayFeatures", () => {
  const other = parsePhysionetRecord("two", record(8, "01:00,HR,95\n", 64));
  const statistics = stayStatistics([stay, other]);

  it("standardises by what was measured in training", () => {
    // 70, 85, 95
    const mean = 250 / 3;
    const deviation = Math.sqrt(((70 - mean) ** 2 + (85 - mean) ** 2 + (95 - mean) ** 2) / 3);
    expect(statistics.variables[HR]!.mean).toBeCloseTo(mean, 10);
    expect(statistics.variables[HR]!.deviation).toBeCloseTo(deviation, 10);
    expect(statistics.variables[WEIGHT]).toEqual({ low: 0, high: 0, mean: 0, deviation: 1 });
    const { values, deltas, rows } = stayFeatures(stay, statistics);
    expect(rows).toBe(4);
    expect(STAY_INPUT_SIZE).toBe(81);
    const at = (row: number, i: number): number => values[row * 81 + i]!;
    const scaled = (x: number): number => Math.fround((x - mean) / deviation);
    expect([0, 1, 2, 3].map((row) => at(row, HR))).toEqual([0, scaled(70), scaled(85), scaled(85)]);
    expect([0, 1, 2, 3].map((row) => at(row, 37 + HR))).toEqual([0, 1, 1, 0]);
    expect([0, 1, 2, 3].map((row) => at(row, TEMP))).toEqual([0, -1, -1, 1]);
    // age 54 of 54 and 64, gender that does not vary, height not known, the fourth kind of unit
    for (const row of [0, 3])
      expect([...values.subarray(row * 81 + 74, (row + 1) * 81)]).toEqual([-1, 0, 0, 0, 0, 0, 1]);
    expect([...deltas]).toEqual([1, 0.5, 1.5, 2759 / 60].map(Math.fround));
  });

  it("fills with the mean where asked", () => {
    const { values } = stayFeatures(stay, statistics, { fill: "mean" });
    expect([0, 1, 2, 3].map((row) => values[row * 81 + TEMP]!)).toEqual([0, -1, 0, 1]);
  });

  it("moves slips to where nearly all values end", () => {
    const lines = Array.from({ length: 1000 }, (_, i) => `01:${String(i % 60).padStart(2, "0")},pH,7.${20 + (i % 30)}`);
    lines.sort();
    const many = parsePhysionetRecord("many", record(1, `${lines.join("\n")}\n`));
    const pH = PHYSIONET_VARIABLES.indexOf("pH");
    const wrong = parsePhysionetRecord("wrong", record(2, "03:00,pH,735\n"));
    const trained = stayStatistics([...Array.from({ length: 40 }, () => many), wrong]);
    expect(trained.variables[pH]!.high).toBeLessThan(7.5);
    const { values } = stayFeatures(wrong, trained);
    expect(Math.abs(values[81 + pH]!)).toBeLessThan(4);
  });

  it("refuses a unit of another kind", () => {
    const bad = parsePhysionetRecord("bad", record(3, "").replace("ICUType,4", "ICUType,5"));
    expect(() => stayFeatures(bad, statistics)).toThrow(/ICUType must be a whole number from 1 to 4; got 5/);
  });
});

describe("staySequences", () => {
  const statistics = stayStatistics([stay]);
  const stays = [{ ...stay, label: 1 as const }];

  it("gives the hours between rows, unless samples shall be regular", () => {
    const sequences = staySequences(stays, { statistics });
    expect(sequences).toMatchObject({ count: 1, classes: 2, inputSize: STAY_INPUT_SIZE });
    expect([...sequences.labels]).toEqual([1]);
    expect(sequences.sequence(0)).toEqual(stayFeatures(stay, statistics));
    expect(staySequences(stays, { statistics, times: "regular" }).sequence(0).deltas).toBeUndefined();
  });

  it("keeps the last rows of a stay that is too long", () => {
    const { values, deltas } = stayFeatures(stay, statistics);
    const cut = staySequences(stays, { statistics, length: 3 }).sequence(0);
    expect(cut).toEqual({ values: values.subarray(STAY_INPUT_SIZE), deltas: deltas.subarray(1), rows: 3 });
  });
});
