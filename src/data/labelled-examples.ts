import type { LabelledBatch, LabelledSource } from "./labelled-batch.ts";
import { permuted } from "./permutation.ts";
import { checkSize } from "./task-options.ts";

/** A sequence of rows of numbers. */
export interface ExampleSequence {
  /** [rows inputSize] */
  readonly values: Float32Array;
  readonly rows: number;
  /** [rows], what lies between a row and the one before; left out where samples are regular. */
  readonly deltas?: Float32Array;
}

/** Labelled sequences by number. */
export interface LabelledExamples {
  readonly count: number;
  readonly classes: number;
  /** Numbers of a row. */
  readonly inputSize: number;
  /** [count] */
  readonly labels: Int32Array;
  sequence(index: number): ExampleSequence;
}

/** Options of {@link shuffledExamples}. */
export interface ShuffledExampleOptions {
  /** Rows of a batch. */
  readonly batch: number;
  /** Same seed, same order. */
  readonly seed: number;
  /** Take the classes in turn, so that a rare one comes as often as the others. Default false. */
  readonly balanced?: boolean;
}

/** Labelled batches in an order that each epoch draws anew. Examples follow each other without regard to batches. */
export interface ShuffledExamples extends LabelledSource {
  /** Examples of an epoch. */
  readonly rows: number;
}

/** Labelled batches in the order of the examples. */
export interface OrderedExamples extends LabelledSource {
  /** Batches after which it begins again. */
  readonly batches: number;
}

/**
 * Labelled sequences in random order: each epoch takes every example once, in an order of its own. `balanced` draws such an
 * order for each class and takes the classes in turn; an epoch is over for a class when its examples are through.
 */
export function shuffledExamples(
  examples: LabelledExamples,
  { batch, seed, balanced = false }: ShuffledExampleOptions,
): ShuffledExamples {
  checkSize("shuffledExamples", "batch", batch, 1);
  checkSize("shuffledExamples", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  checkSize("shuffledExamples", "examples.count", examples.count, 1);
  const { inputSize, classes, count } = examples;
  const groups = balanced ? groupsOf(examples) : [Int32Array.from({ length: count }, (_, i) => i)];
  const numberOf = (row: number): number => {
    const group = groups[row % groups.length]!;
    const place = Math.floor(row / groups.length);
    const shuffle = { seed, epoch: Math.floor(place / group.length) };
    return group[permuted(place % group.length, group.length, shuffle)]!;
  };
  return {
    ...{ input: { inputSize }, classes, rows: count },
    batch: (step) =>
      batchOf(
        examples,
        Array.from({ length: batch }, (_, row) => numberOf(step * batch + row)),
      ),
  };
}

/** The examples of each class that there is. */
function groupsOf({ labels, classes }: LabelledExamples): Int32Array[] {
  const numbers = Int32Array.from(labels.keys());
  const groups = Array.from({ length: classes }, (_, own) => numbers.filter((i) => labels[i] === own));
  return groups.filter((group) => group.length > 0);
}

/** All examples once, in order; the last batch has what is left. Later batches begin again. */
export function orderedExamples(examples: LabelledExamples, { batch }: { readonly batch: number }): OrderedExamples {
  checkSize("orderedExamples", "batch", batch, 1);
  checkSize("orderedExamples", "examples.count", examples.count, 1);
  const { inputSize, classes, count } = examples;
  const batches = Math.ceil(count / batch);
  return {
    ...{ input: { inputSize }, classes, batches },
    batch: (step) => {
      const first = (step % batches) * batch;
      const size = Math.min(batch, count - first);
      return batchOf(
        examples,
        Array.from({ length: size }, (_, row) => first + row),
      );
    },
  };
}

function batchOf(examples: LabelledExamples, numbers: readonly number[]): LabelledBatch {
  const { inputSize, labels } = examples;
  const sequences = numbers.map((number) => examples.sequence(number));
  const batch = numbers.length;
  const length = Math.max(...sequences.map(({ rows }) => rows));
  const values = new Float32Array(batch * length * inputSize);
  sequences.forEach((sequence, row) => {
    values.set(sequence.values, row * length * inputSize);
  });
  const isEven = sequences.every(({ rows }) => rows === length);
  const deltas = sequences.some((sequence) => sequence.deltas) && new Float32Array(batch * length);
  if (deltas) {
    sequences.forEach((sequence, row) => {
      deltas.set(sequence.deltas!, row * length);
    });
  }
  return {
    ...{ batch, length, values },
    labels: Int32Array.from(numbers, (number) => labels[number]!),
    ...(isEven ? {} : { lengths: Int32Array.from(sequences, ({ rows }) => rows) }),
    ...(deltas ? { deltas } : {}),
  };
}
