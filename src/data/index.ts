/**
 * What models are trained on: token files, batches by number, synthetic tasks.
 *
 * @module
 */
export { type AssociativeRecallOptions, associativeRecall } from "./associative-recall.ts";
export type { Batch, BatchSource } from "./batch.ts";
export { type HoldOutOptions, holdOut, pickExamples } from "./hold-out.ts";
export { type CifarOptions, readCifar10 } from "./images/cifar.ts";
export { type IdxFile, readIdx } from "./images/idx.ts";
export type { DataPart, LabelledImages } from "./images/labelled-images.ts";
export { readMnist } from "./images/mnist.ts";
export { pixelOrder } from "./images/pixel-order.ts";
export { type PixelOptions, pixelSequences } from "./images/pixel-sequences.ts";
export { type InductionHeadsOptions, inductionHeads } from "./induction-heads.ts";
export type { LabelledBatch, LabelledSource } from "./labelled-batch.ts";
export {
  type ExampleSequence,
  type LabelledExamples,
  type OrderedExamples,
  orderedExamples,
  type ShuffledExampleOptions,
  type ShuffledExamples,
  shuffledExamples,
} from "./labelled-examples.ts";
export { evaluateListOps, LIST_OPS_TOKENS, parseListOps, writeListOps } from "./list-ops/grammar.ts";
export { type ListOpsOptions, listOps } from "./list-ops/list-ops.ts";
export { packedDocuments } from "./packed-documents.ts";
export { type SelectiveCopyingOptions, selectiveCopying } from "./selective-copying.ts";
export { type LabelledStay, type PhysionetSet, readPhysionet2012 } from "./series/physionet.ts";
export {
  PHYSIONET_DESCRIPTORS,
  PHYSIONET_VARIABLES,
  type PhysionetRecord,
} from "./series/physionet-record.ts";
export {
  STAY_INPUT_SIZE,
  type StayFeatureOptions,
  type StaySequence,
  type StayStatistics,
  stayFeatures,
  stayStatistics,
} from "./series/stay-features.ts";
export { type StaySequenceOptions, staySequences } from "./series/stay-sequences.ts";
export type { TaskOptions } from "./task-options.ts";
export { openTokenFile } from "./token-file.ts";
export { type DocumentIds, type TokenFileOptions, writeTokenFile } from "./token-file-write.ts";
export { split, type TokenFile, tokensOf } from "./tokens.ts";
export {
  type OrderedSource,
  type ShuffledSource,
  type ShuffleOptions,
  shuffledWindows,
  streamedWindows,
  validationWindows,
  type WindowOptions,
} from "./windows.ts";
