/** Labelled sequences for one step of training, row by row; either `values` or `ids` are there. */
export interface LabelledBatch {
  readonly batch: number;
  /** Of the longest row. */
  readonly length: number;
  /** [batch length inputSize], 0 behind a row's end. */
  readonly values?: Float32Array;
  /** [batch length], 0 behind a row's end. */
  readonly ids?: Int32Array;
  /** [batch], the class of each row. */
  readonly labels: Int32Array;
  /** [batch], how long each row is; left out where all have `length`. */
  readonly lengths?: Int32Array;
  /** [batch length], what lies between a sample and the one before; left out where samples are regular. */
  readonly deltas?: Float32Array;
}

/** Labelled batches by number: a pure function of the number, so that a run that is resumed sees what it would have seen. */
export interface LabelledSource {
  /** What a sample is: numbers, or an id. */
  readonly input: { readonly inputSize: number } | { readonly vocabSize: number };
  readonly classes: number;
  batch(step: number): LabelledBatch | Promise<LabelledBatch>;
}
