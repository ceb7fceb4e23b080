import { DataError } from "../../tensor/errors.ts";

/** What is measured during a stay, in the order of a record's values; units are those of the challenge. */
export const PHYSIONET_VARIABLES: readonly string[] = [
  ...["Albumin", "ALP", "ALT", "AST", "Bilirubin", "BUN", "Cholesterol", "Creatinine", "DiasABP", "FiO2", "GCS"],
  ...["Glucose", "HCO3", "HCT", "HR", "K", "Lactate", "Mg", "MAP", "MechVent", "Na", "NIDiasABP", "NIMAP", "NISysABP"],
  ...["PaCO2", "PaO2", "pH", "Platelets", "RespRate", "SaO2", "SysABP", "Temp", "TroponinI", "TroponinT", "Urine"],
  ...["WBC", "Weight"],
];

/** What is known of a patient at admission: years, 0 female or 1 male, centimetres, and one of four kinds of unit. */
export const PHYSIONET_DESCRIPTORS: readonly string[] = ["Age", "Gender", "Height", "ICUType"];

/** A stay: one row for each time at which something was measured, the first at admission. */
export interface PhysionetRecord {
  readonly id: number;
  /** Since admission, rising strictly from 0. */
  readonly minutes: Int32Array;
  /** [times variables], NaN where a variable was not measured at that time. */
  readonly values: Float32Array;
  /** [descriptors], NaN where it is not known. */
  readonly descriptors: Float32Array;
}

const HEADER = "Time,Parameter,Value";
const MISSING = -1;
const WIDTH = PHYSIONET_VARIABLES.length;
const VARIABLE = new Map(PHYSIONET_VARIABLES.map((name, i) => [name, i]));
const DESCRIPTOR = new Map(PHYSIONET_DESCRIPTORS.map((name, i) => [name, i]));

interface Entry {
  readonly minute: number;
  readonly parameter: string;
  readonly value: number;
}

/**
 * Reads the text of a record: a header, then lines of time since admission (hh:mm), parameter and value.
 *
 * A value of -1 says that it is not known. Where a variable stands twice at one time, the mean is taken. There is always a row
 * at 00:00, even where nothing was measured.
 *
 * @param name - for error messages
 * @throws DataError naming the line, if one is no such line, names no known parameter, or goes back in time
 */
export function parsePhysionetRecord(name: string, text: string): PhysionetRecord {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  if (lines[0] !== HEADER) throw lineError(name, 1, `must be ${JSON.stringify(HEADER)}`, lines[0]);
  const descriptors = new Float32Array(PHYSIONET_DESCRIPTORS.length).fill(Number.NaN);
  const minutes: number[] = [0];
  const rows: { sums: Float64Array; counts: Int32Array }[] = [newRow()];
  let id: number | undefined;
  for (let i = 1; i < lines.length; i++) {
    const { minute, parameter, value } = parseLine(name, i + 1, lines[i]!);
    if (minute < minutes.at(-1)!) throw lineError(name, i + 1, "must not go back in time", lines[i]);
    if (parameter === "RecordID") id = value;
    else if (DESCRIPTOR.has(parameter)) {
      if (value !== MISSING) descriptors[DESCRIPTOR.get(parameter)!] = value;
    } else if (!VARIABLE.has(parameter))
      throw lineError(name, i + 1, "must name a parameter of the challenge", lines[i]);
    else if (value !== MISSING) {
      if (minute > minutes.at(-1)!) {
        minutes.push(minute);
        rows.push(newRow());
      }
      const { sums, counts } = rows.at(-1)!;
      sums[VARIABLE.get(parameter)!]! += value;
      counts[VARIABLE.get(parameter)!]!++;
    }
  }
  if (id === undefined) {
    throw new DataError(`${name}: a record must give its RecordID; it gives none; unpack the set again`, { name });
  }
  const values = new Float32Array(rows.length * WIDTH);
  rows.forEach(({ sums, counts }, row) => {
    values.set(
      sums.map((sum, i) => sum / counts[i]!),
      row * WIDTH,
    );
  });
  return { id, minutes: Int32Array.from(minutes), values, descriptors };
}

const newRow = () => ({ sums: new Float64Array(WIDTH), counts: new Int32Array(WIDTH) });

function parseLine(name: string, line: number, text: string): Entry {
  const found = /^(\d{2,3}):([0-5]\d),([^,]+),([^,]+)$/.exec(text);
  const value = Number(found?.[4]);
  if (!found || found[4]!.trim() === "" || !Number.isFinite(value)) {
    throw lineError(name, line, 'must be a time, a parameter and a number, as "07:35,HR,73"', text);
  }
  return { minute: 60 * Number(found[1]) + Number(found[2]), parameter: found[3]!, value };
}

function lineError(name: string, line: number, must: string, text: string | undefined): DataError {
  const came = text === undefined ? "nothing" : JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
  return new DataError(
    `${name}: line ${line} ${must}; got ${came}; the file is damaged or no record of PhysioNet 2012, unpack the set again`,
    { name, line, text },
  );
}

/**
 * Reads a file of outcomes: for each record whether the patient died in hospital.
 *
 * @returns by record id: 1 who died, 0 who survived
 * @throws DataError naming the line, if one does not fit, or a record stands twice
 */
export function parsePhysionetOutcomes(name: string, text: string): Map<number, 0 | 1> {
  const lines = text.split(/\r?\n/).filter((line) => line !== "");
  const columns = (lines[0] ?? "").split(",");
  const [idColumn, deathColumn] = [columns.indexOf("RecordID"), columns.indexOf("In-hospital_death")];
  if (idColumn < 0 || deathColumn < 0) {
    throw lineError(name, 1, "must have the columns RecordID and In-hospital_death", lines[0]);
  }
  const outcomes = new Map<number, 0 | 1>();
  for (let i = 1; i < lines.length; i++) {
    const cells = lines[i]!.split(",");
    const [id, death] = [Number(cells[idColumn] || Number.NaN), cells[deathColumn]];
    if (cells.length !== columns.length || !Number.isSafeInteger(id) || (death !== "0" && death !== "1")) {
      throw lineError(
        name,
        i + 1,
        `must have ${columns.length} cells, a record's number and 0 or 1 for death`,
        lines[i],
      );
    }
    if (outcomes.has(id)) throw lineError(name, i + 1, "must name another record than the lines before", lines[i]);
    outcomes.set(id, death === "1" ? 1 : 0);
  }
  return outcomes;
}
