/**
 * What the package needs from its host, for Node, Deno and Bun. `browser.ts` exports the same names; import either as
 * `#platform`. Each concern has a file of its own in `node/` and `browser/`.
 *
 * @module
 */
export type { ByteSource, FileSet, WriteBytes } from "./files.ts";
export { checkFileName, checkRange } from "./files.ts";
export { openFileSource, openFolder, pathKind, writeFileAtomically } from "./node/files.ts";
export { openUrlFolder, openUrlSource, type UrlOptions } from "./url-source.ts";
