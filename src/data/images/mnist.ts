import { type FileSet, openFolder } from "#platform";
import { DataError } from "../../tensor/errors.ts";
import { type IdxFile, readIdx } from "./idx.ts";
import { checkLabels, type DataPart, type LabelledImages, readFirst } from "./labelled-images.ts";

/** How the files of a part begin. */
const PREFIX: Readonly<Record<DataPart, string>> = { training: "train", test: "t10k" };
const CLASSES = 10;

/**
 * Reads handwritten digits from the four files of MNIST, packed by gzip or not: `train-images-idx3-ubyte.gz` and its like.
 * 60,000 images are for training, 10,000 for tests; 28 pixels square, 0 is background.
 *
 * @param folder - a path (in a browser: an address), or files
 * @throws DataError if a file is missing, damaged or cut off, or images and labels do not belong together
 * @see LeCun, Cortes & Burges, "The MNIST database of handwritten digits"
 */
export async function readMnist(folder: string | FileSet, part: DataPart): Promise<LabelledImages> {
  const files = typeof folder === "string" ? await openFolder(folder) : folder;
  const images = await readPart(files, part, "images-idx3-ubyte", 3);
  const labels = await readPart(files, part, "labels-idx1-ubyte", 1);
  const [count, height, width] = images.shape as [number, number, number];
  if (labels.shape[0] !== count) {
    throw new DataError(
      `${images.name}: there must be a label for each of ${count} images; got ${labels.shape[0]}; fetch the files again`,
      { name: images.name, images: count, labels: labels.shape[0] },
    );
  }
  checkLabels(labels.name, labels.values, CLASSES);
  const sizes = { count, height, width, channels: 1, classes: CLASSES };
  return {
    name: images.name,
    ...sizes,
    pixels: images.values,
    labels: labels.values,
    mean: [0.1307],
    deviation: [0.3081],
  };
}

async function readPart(
  files: FileSet,
  part: DataPart,
  kind: string,
  rank: number,
): Promise<IdxFile & { readonly name: string }> {
  const file = `${PREFIX[part]}-${kind}`;
  const { name, bytes } = await readFirst(files, [`${file}.gz`, file]);
  const read = await readIdx(name, bytes);
  if (read.shape.length === rank) return { name, ...read };
  throw new DataError(
    `${name}: it must have ${rank} axes; it has [${read.shape.join(" ")}]; put the files of MNIST under their own names`,
    { name, shape: read.shape },
  );
}
