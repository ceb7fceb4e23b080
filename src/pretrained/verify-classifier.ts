import type { TensorFile } from "../checkpoints/index.ts";
import { convertArray } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { type Classifier, largestClasses, type Sequences } from "./classifier.ts";
import type { Verification, VerifiedQuantity } from "./verify.ts";

/** Largest difference of a classifier's logits: those of official S4 code carry its float32. */
const LOGIT_LIMIT = 1e-3;
/** Sequences that go through the model together. */
const ROWS_TOGETHER = 16;

/**
 * Holds a classifier against a golden file: `x` or `images`, and `logits`, optionally `labels`.
 *
 * @returns with the accuracy, if the golden has labels
 * @throws CheckpointError if the golden holds no input, or one that does not fit
 */
export async function verifyClassifier(
  classifier: Classifier,
  golden: TensorFile,
): Promise<Verification & { readonly accuracy?: number }> {
  const { classes } = classifier.config;
  const logits = await classifyAll(classifier, await inputOf(golden));
  const compared: VerifiedQuantity[] = [];
  const expected = golden.tensors.get("logits");
  if (expected) {
    const wanted = (await convertArray(await expected.read(), expected.dtype, "float32")) as Float32Array;
    const error = largestDifference(logits, wanted);
    compared.push({ name: "logits", measure: "absolute", error, limit: LOGIT_LIMIT, ok: error <= LOGIT_LIMIT });
  }
  const labels = await golden.tensors.get("labels")?.read();
  const chosen = largestClasses(logits, classes);
  const accuracy = labels && { accuracy: chosen.filter((c, i) => c === labels[i]).length / chosen.length };
  const known = new Set(["x", "images", "logits", "labels"]);
  const notCompared = [...golden.tensors.keys()]
    .filter((name) => !known.has(name))
    .map((name) => ({ name, reason: "needs data that the golden does not hold; see mamba eval" }));
  return { ok: compared.every(({ ok }) => ok), compared, notCompared, ...accuracy };
}

/** Classifies any number of sequences, a few at a time. */
export async function classifyAll(
  classifier: Classifier,
  { values, shape }: Sequences,
  progress?: (done: number, logits: Float32Array) => void,
): Promise<Float32Array> {
  const [rows, length, inputSize] = shape;
  const width = length * inputSize;
  const { classes } = classifier.config;
  const logits = new Float32Array(rows * classes);
  for (let row = 0; row < rows; row += ROWS_TOGETHER) {
    const count = Math.min(ROWS_TOGETHER, rows - row);
    const part = values.subarray(row * width, (row + count) * width);
    logits.set(await classifier.classify({ values: part, shape: [count, length, inputSize] }), row * classes);
    progress?.(row + count, logits);
  }
  return logits;
}

async function inputOf({ name, tensors, metadata }: TensorFile): Promise<Sequences> {
  const x = tensors.get("x");
  if (x?.shape.length === 3) {
    const values = (await convertArray(await x.read(), x.dtype, "float32")) as Float32Array;
    return { values, shape: x.shape as [number, number, number] };
  }
  const images = tensors.get("images");
  if (images?.shape.length === 4) {
    const [rows, height, width, channels] = images.shape as [number, number, number, number];
    const [mean, deviation] = [numbersOf(name, "mean", metadata), numbersOf(name, "std", metadata)];
    const pixels = await images.read();
    const values = Float32Array.from(
      pixels,
      (pixel, i) => (pixel / 255 - mean[i % channels]!) / deviation[i % channels]!,
    );
    return { values, shape: [rows, height * width, channels] };
  }
  throw new CheckpointError(
    `${name}: the golden must hold x [rows length inputSize] or images [rows height width channels]; it holds ${[...tensors.keys()].join(", ")}; pass another file`,
    {},
  );
}

/** Numbers of the metadata: under the key itself, or behind its name in a sentence. */
function numbersOf(name: string, key: string, metadata: Readonly<Record<string, string>>): number[] {
  const text = metadata[key] ?? Object.values(metadata).find((value) => new RegExp(`\\b${key} \\(`).test(value)) ?? "";
  const found = /\(([^)]*)\)/.exec(
    metadata[key] ? text : text.slice(Math.max(0, text.search(new RegExp(`\\b${key} \\(`)))),
  );
  const numbers = (found?.[1] ?? "").split(",").map(Number);
  if (found && numbers.every(Number.isFinite)) return numbers;
  throw new CheckpointError(
    `${name}: the metadata must give the ${key} of the channels; it does not; add it as "(a, b, c)"`,
    {
      key,
    },
  );
}

function largestDifference(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  return expected.reduce((most, value, i) => {
    const difference = Math.abs(actual[i]! - value);
    return difference <= most ? most : Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }, 0);
}
