/**
 * What models are trained on: token files, batches, synthetic tasks.
 *
 * @module
 */
export type { Batch, BatchSource } from "./batch.ts";
