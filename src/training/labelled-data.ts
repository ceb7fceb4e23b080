import {
  holdOut,
  type LabelledExamples,
  type LabelledImages,
  type LabelledSource,
  type LabelledStay,
  listOps,
  orderedExamples,
  pickExamples,
  pixelSequences,
  readCifar10,
  readMnist,
  readPhysionet2012,
  type ShuffledExampleOptions,
  shuffledExamples,
  staySequences,
  stayStatistics,
} from "../data/index.ts";
import type { CompleteTrainConfig } from "./config.ts";
import type { CompleteRecord } from "./config-field.ts";
import type { labelledDataVariants } from "./config-labelled.ts";

type CompleteOf<V> = V extends { readonly fields: infer F } ? CompleteRecord<F> : never;

/** Labelled data as a configuration describes it, complete. */
export type LabelledDataConfig = CompleteOf<(typeof labelledDataVariants)[number]>;
type ImageData = Extract<LabelledDataConfig, { readonly images: unknown }>;
type SeriesData = Extract<LabelledDataConfig, { readonly series: unknown }>;

/** The data of a configuration, if it is labelled sequences. */
export function labelledDataOf({ data }: Pick<CompleteTrainConfig, "data">): LabelledDataConfig | undefined {
  if ("images" in data || "series" in data) return data;
  return "task" in data && data.task === "list-ops" ? data : undefined;
}

/** What of a configuration decides its batches. */
export interface LabelledDataOptions {
  readonly data: LabelledDataConfig;
  readonly batch: number;
  /** Most samples of a row, where the data leaves a choice. */
  readonly length: number;
  readonly seed: number;
}

/** What a classifier learns from. */
export interface LabelledData {
  readonly training: LabelledSource;
  readonly validation?: LabelledSource;
  /** Batches that `validation` has, where it is not endless. */
  readonly validationBatches?: number;
}

/** What a classifier is tested on. */
export interface LabelledTest {
  readonly source: LabelledSource;
  /** Batches that it has, where it is not endless. */
  readonly batches?: number;
}

/** Far from the seeds that people choose. */
const VALIDATION_SEED = 2 ** 40;
const TEST_SEED = 2 ** 41;

/**
 * Opens labelled data for training. How numbers are spread, where they are standardised, is learnt from what is trained on alone.
 *
 * @throws DataError if a file is missing, damaged or cut off
 * @throws ConfigError if sizes do not fit together
 */
export async function openLabelledData(options: LabelledDataOptions): Promise<LabelledData> {
  const { data, batch, length, seed } = options;
  if ("task" in data) {
    const shared = { ...data, batch, length };
    return {
      training: listOps({ ...shared, seed }),
      validation: listOps({ ...shared, seed: seed + VALIDATION_SEED }),
    };
  }
  if ("images" in data) {
    const examples = pixelSequences(await readImages(data, "training"), data);
    return sharedOut(examples, holdOutNumbers(examples.count, data), options);
  }
  const { stays, numbers, statistics } = await readTrainingStays(data);
  const sequences = staySequences(stays, { ...data, statistics, length });
  return sharedOut(sequences, numbers, { ...options, balanced: data.balanced });
}

/** Opens what a configuration's models are tested on: the data set's own test part, or rows drawn apart. */
export async function openLabelledTest(options: LabelledDataOptions): Promise<LabelledTest> {
  const { data, batch, length, seed } = options;
  if ("task" in data) return { source: listOps({ ...data, batch, length, seed: seed + TEST_SEED }) };
  const examples =
    "images" in data
      ? pixelSequences(await readImages(data, "test"), data)
      : staySequences(await readPhysionet2012(data.folder, data.testSet), {
          ...data,
          statistics: (await readTrainingStays(data)).statistics,
          length,
        });
  const source = orderedExamples(examples, { batch });
  return { source, batches: source.batches };
}

function readImages(data: ImageData, part: "training" | "test"): Promise<LabelledImages> {
  return data.images === "mnist" ? readMnist(data.folder, part) : readCifar10(data.folder, part, data);
}

async function readTrainingStays(data: SeriesData) {
  const stays: LabelledStay[] = await readPhysionet2012(data.folder, data.set);
  const numbers = holdOutNumbers(stays.length, data);
  return { stays, numbers, statistics: stayStatistics(Array.from(numbers.training, (number) => stays[number]!)) };
}

interface Parts {
  readonly training: Int32Array;
  readonly validation?: Int32Array;
}

function holdOutNumbers(count: number, data: ImageData | SeriesData): Parts {
  const { validationShare: share, validationSeed: seed } = data;
  return share > 0 ? holdOut(count, { share, seed }) : { training: Int32Array.from({ length: count }, (_, i) => i) };
}

function sharedOut(
  examples: LabelledExamples,
  { training, validation }: Parts,
  options: ShuffledExampleOptions,
): LabelledData {
  const shuffled = shuffledExamples(pickExamples(examples, training), options);
  if (!validation) return { training: shuffled };
  const ordered = orderedExamples(pickExamples(examples, validation), options);
  return { training: shuffled, validation: ordered, validationBatches: ordered.batches };
}
