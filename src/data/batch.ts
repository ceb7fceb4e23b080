/** Token rows for one step of training; both arrays are [batch length], row by row. */
export interface Batch {
  readonly ids: Int32Array;
  /** What each position shall predict; -1 where nothing is scored. */
  readonly targets: Int32Array;
  readonly batch: number;
  readonly length: number;
  /** [batch length], not decreasing: documents packed into a row; -1 is padding. */
  readonly segmentIds?: Int32Array;
  /** Whether the rows go on where those of the step before ended: the state is carried. Default false. */
  readonly continues?: boolean;
}

/**
 * Batches by number. A pure function of the number, so that a run that is resumed at any step sees what it would have seen.
 */
export interface BatchSource {
  /** Ids are below this. */
  readonly vocabSize: number;
  batch(step: number): Batch | Promise<Batch>;
}
