import { type FileSet, openFolder } from "#platform";
import { DataError } from "../../tensor/errors.ts";
import { checkLabels, type DataPart, type LabelledImages, readFirst } from "./labelled-images.ts";

const SIDE = 32;
const PIXELS = SIDE * SIDE;
const RECORD = 1 + 3 * PIXELS;
const CLASSES = 10;
const FILES: Readonly<Record<DataPart, readonly string[]>> = {
  training: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`),
  test: ["test_batch.bin"],
};

/** Options of {@link readCifar10}. */
export interface CifarOptions {
  /** One channel of brightness, as in the Long Range Arena, and not three of colour. Default false. */
  readonly grey?: boolean;
}

/**
 * Reads small photographs from the binary version of CIFAR-10: `data_batch_1.bin` to `data_batch_5.bin` for training, `test_batch.bin`
 * for tests. An image is a byte for its class and 32 x 32 bytes each of red, green and blue.
 *
 * Brightness is (19595 red + 38470 green + 7471 blue + 32768) / 65536, rounded down, as Pillow converts to "L".
 *
 * @param folder - a path (in a browser: an address), or files
 * @throws DataError if a file is missing, damaged or cut off
 * @see Krizhevsky 2009, "Learning multiple layers of features from tiny images"
 */
export async function readCifar10(
  folder: string | FileSet,
  part: DataPart,
  { grey = false }: CifarOptions = {},
): Promise<LabelledImages> {
  const files = typeof folder === "string" ? await openFolder(folder) : folder;
  const batches: Uint8Array[] = [];
  for (const file of FILES[part]) {
    const { name, bytes } = await readFirst(files, [file]);
    if (bytes.length === 0 || bytes.length % RECORD !== 0) {
      throw new DataError(
        `${name}: it must hold images of ${RECORD} bytes; got ${bytes.length} bytes; the file is cut off or no binary batch of CIFAR-10, fetch it again`,
        { name, byteLength: bytes.length },
      );
    }
    checkLabels(name, labelsOf(bytes), CLASSES);
    batches.push(bytes);
  }
  const count = batches.reduce((sum, bytes) => sum + bytes.length, 0) / RECORD;
  const channels = grey ? 1 : 3;
  const pixels = new Uint8Array(count * PIXELS * channels);
  const labels = new Uint8Array(count);
  let image = 0;
  for (const bytes of batches) {
    labels.set(labelsOf(bytes), image);
    for (let start = 1; start < bytes.length; start += RECORD, image++) {
      const out = pixels.subarray(image * PIXELS * channels, (image + 1) * PIXELS * channels);
      (grey ? writeGrey : writeColour)(bytes.subarray(start, start + 3 * PIXELS), out);
    }
  }
  const sizes = { count, height: SIDE, width: SIDE, channels, classes: CLASSES };
  return { name: `${files.name} (CIFAR-10)`, ...sizes, pixels, labels, ...STATISTICS[grey ? "grey" : "colour"] };
}

/** Those of the S4 code. */
const STATISTICS = {
  grey: { mean: [122.6 / 255], deviation: [61 / 255] },
  colour: { mean: [0.4914, 0.4822, 0.4465], deviation: [0.247, 0.243, 0.261] },
};

function labelsOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: bytes.length / RECORD }, (_, image) => bytes[image * RECORD]!);
}

/** From planes to pixels. */
function writeColour(planes: Uint8Array, out: Uint8Array): void {
  for (let i = 0; i < PIXELS; i++) {
    for (let channel = 0; channel < 3; channel++) out[3 * i + channel] = planes[channel * PIXELS + i]!;
  }
}

function writeGrey(planes: Uint8Array, out: Uint8Array): void {
  for (let i = 0; i < PIXELS; i++) {
    const [red, green, blue] = [planes[i]!, planes[PIXELS + i]!, planes[2 * PIXELS + i]!];
    out[i] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16;
  }
}
