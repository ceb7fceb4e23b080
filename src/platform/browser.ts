/**
 * What the package needs from its host, for browsers. `node.ts` exports the same names; import either as
 * `#platform`. Each concern has a file of its own in `node/` and `browser/`.
 *
 * @module
 */
export {
  findModelPath,
  openFileSource,
  openFolder,
  pathKind,
  removeTemporaries,
  writeFileAtomically,
} from "./browser/files.ts";
export { avoidsGpu, mayHaveGpu, openGpu } from "./browser/gpu.ts";
export { contentHash, sha256 } from "./browser/hash.ts";
export { hubEnvironment, openHubStore } from "./browser/hub-store.ts";
export { fetchResource } from "./browser/resources.ts";
export { canBlock, enableRelaxedSimd, hardwareThreads, sharedMemoryAllowed, startWorker } from "./browser/workers.ts";
export type { ByteSource, FileSet, WriteBytes } from "./files.ts";
export { checkFileName, checkRange } from "./files.ts";
export type { ContentHash, HubBlob, HubEnvironment, HubFile, HubSnapshot, HubStore, PartialBlob } from "./hub-store.ts";
export { pause } from "./pause.ts";
export { openUrlFolder, openUrlSource, type UrlOptions } from "./url-source.ts";
export type { WorkerEvents, WorkerHandle } from "./workers.ts";
