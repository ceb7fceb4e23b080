import { type FileSet, openFolder } from "#platform";
import { DataError } from "../../tensor/errors.ts";
import { type PhysionetRecord, parsePhysionetOutcomes, parsePhysionetRecord } from "./physionet-record.ts";

/** A stay and how it ended. */
export interface LabelledStay extends PhysionetRecord {
  /** 1 for death in hospital. */
  readonly label: 0 | 1;
}

/** The sets of the challenge. */
export type PhysionetSet = "a" | "b" | "c";

/** Files that are open together. */
const FILES_TOGETHER = 32;

/**
 * Reads stays in intensive care, sampled irregularly, with death in hospital as the outcome: the text files of the PhysioNet
 * challenge of 2012, unpacked. A folder holds `Outcomes-a.txt` and a folder `set-a` with a file for each record that it
 * names, likewise `b` and `c`.
 *
 * @param folder - a path (in a browser: an address), or files
 * @returns in the order of the outcomes
 * @throws DataError if a file is missing, or a line does not fit
 * @see Silva et al. 2012, "Predicting in-hospital mortality of ICU patients: the PhysioNet/Computing in Cardiology challenge 2012"
 */
export async function readPhysionet2012(folder: string | FileSet, set: PhysionetSet): Promise<LabelledStay[]> {
  const files = typeof folder === "string" ? await openFolder(folder) : folder;
  const outcomesFile = `Outcomes-${set}.txt`;
  const outcomes = parsePhysionetOutcomes(`${files.name}/${outcomesFile}`, await readText(files, outcomesFile));
  const ids = [...outcomes.keys()];
  const stays: LabelledStay[] = [];
  for (let at = 0; at < ids.length; at += FILES_TOGETHER) {
    const read = ids.slice(at, at + FILES_TOGETHER).map(async (id): Promise<LabelledStay> => {
      const file = `set-${set}/${id}.txt`;
      const record = parsePhysionetRecord(`${files.name}/${file}`, await readText(files, file));
      if (record.id === id) return { ...record, label: outcomes.get(id)! };
      throw new DataError(
        `${files.name}/${file}: it must hold record ${id}; it holds ${record.id}; unpack the set again`,
        { file, id: record.id },
      );
    });
    stays.push(...(await Promise.all(read)));
  }
  if (stays.length > 0) return stays;
  throw new DataError(`${files.name}/${outcomesFile}: it must name records; it names none; unpack the set again`, {
    file: outcomesFile,
  });
}

async function readText(files: FileSet, file: string): Promise<string> {
  if (!(await files.has(file))) {
    throw new DataError(
      `${files.name}: the folder must hold ${file}; it does not; unpack the set there, with tar -xf physionet2012-ab.tar.xz`,
      { folder: files.name, file },
    );
  }
  const source = await files.open(file);
  try {
    return new TextDecoder().decode(await source.read(0, source.byteLength));
  } finally {
    await source.close();
  }
}
