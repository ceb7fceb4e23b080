/**
 * Checkpoints: weights as safetensors and PyTorch files, configurations and parameter names of both Mamba-1 dialects,
 * and models on the Hugging Face hub.
 *
 * @module
 */
export { readMambaConfig, writeMambaConfig } from "./config-file.ts";
export { type GgufEntry, type GgufFile, readGguf } from "./gguf.ts";
export { mambaGgufFields, markVocabulary, readGgufConfig } from "./gguf-config.ts";
export type { GgufField, GgufFields, GgufFieldType, GgufNumbers, GgufValue } from "./gguf-fields.ts";
export { fileTypes, type GgufPrecision, ggufTypeFor, mambaEntries } from "./gguf-mamba.ts";
export { ggufDataBytes, mambaGgufTensors } from "./gguf-mamba-write.ts";
export type { GgufType } from "./gguf-types.ts";
export { type GgufTensorToWrite, type WritableGgufType, writeGguf } from "./gguf-write.ts";
export { type HubFilter, type HubOptions, type HubProgress, hubFiles, type PulledModel, pullModel } from "./hub.ts";
export { selectGguf } from "./hub-select.ts";
export { type MatchedMamba, type MatchInput, matchMamba } from "./match-mamba.ts";
export { isS4Classifier, type MatchedClassifier, type MatchedTensor, matchS4Classifier } from "./match-s4.ts";
export { checkFits } from "./memory-need.ts";
export { mambaParameterShapes, toCheckpointName, toOwnName } from "./name-map.ts";
export { findWeights, type OpenCheckpoint, openCheckpoint } from "./open-checkpoint.ts";
export { decodeBlocks, encodeBlocks } from "./quantize.ts";
export { readSafetensors } from "./safetensors.ts";
export { encodeSafetensors, type TensorData, type TensorToWrite, writeSafetensors } from "./safetensors-write.ts";
export {
  type ByteSource,
  blobSource,
  bytesSource,
  type CheckpointInput,
  type FileSet,
  memoryFiles,
  readJson,
  readText,
} from "./source.ts";
export type { StoredType } from "./stored-types.ts";
export type { TensorEntry, TensorFile } from "./tensor-entry.ts";
export { readTorch } from "./torch.ts";
