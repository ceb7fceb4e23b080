import type { FileSet } from "#platform";
import { DataError } from "../../tensor/errors.ts";

/** Images of one size with their classes. */
export interface LabelledImages {
  /** Where they are from, for error messages. */
  readonly name: string;
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** [count height width channels] */
  readonly pixels: Uint8Array;
  /** [count], below `classes` */
  readonly labels: Uint8Array;
  readonly classes: number;
  /** Mean and standard deviation of each channel of pixels from 0 to 1, as published code has them. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** Which of a data set's own two parts. */
export type DataPart = "training" | "test";

/** Reads the first file of a folder that is there. @throws DataError if none is */
export async function readFirst(
  folder: FileSet,
  names: readonly string[],
): Promise<{ readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> }> {
  for (const file of names) {
    if (!(await folder.has(file))) continue;
    const source = await folder.open(file);
    try {
      return { name: `${folder.name}/${file}`, bytes: await source.read(0, source.byteLength) };
    } finally {
      await source.close();
    }
  }
  throw new DataError(
    `${folder.name}: the folder must hold ${names.join(" or ")}; it does not; fetch the file, or name the folder where it lies`,
    { folder: folder.name, names },
  );
}

/** Throws unless all labels are below `classes`. */
export function checkLabels(name: string, labels: Uint8Array, classes: number): void {
  const place = labels.findIndex((label) => label >= classes);
  if (place < 0) return;
  throw new DataError(
    `${name}: labels must be below ${classes}; label ${place} is ${labels[place]}; the file is damaged, fetch it again`,
    { name, place, label: labels[place] },
  );
}
