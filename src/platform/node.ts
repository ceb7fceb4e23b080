/**
 * What the package needs from its host, for Node, Deno and Bun. `browser.ts` exports the same names; import either as
 * `#platform`. Each concern has a file of its own in `node/` and `browser/`.
 *
 * @module
 */
export type { ByteSource, FileSet, WriteBytes } from "./files.ts";
export { checkFileName, checkRange } from "./files.ts";
export type { ContentHash, HubBlob, HubEnvironment, HubFile, HubSnapshot, HubStore, PartialBlob } from "./hub-store.ts";
export { openFileSource, openFolder, pathKind, removeTemporaries, writeFileAtomically } from "./node/files.ts";
export { avoidsGpu, mayHaveGpu, openGpu } from "./node/gpu.ts";
export { contentHash, sha256 } from "./node/hash.ts";
export { hubEnvironment, openHubStore } from "./node/hub-store.ts";
export { findModelPath } from "./node/model-path.ts";
export { fetchResource } from "./node/resources.ts";
export { canBlock, enableRelaxedSimd, hardwareThreads, sharedMemoryAllowed, startWorker } from "./node/workers.ts";
export { pause } from "./pause.ts";
export { openUrlFolder, openUrlSource, type UrlOptions } from "./url-source.ts";
export type { WorkerEvents, WorkerHandle } from "./workers.ts";
