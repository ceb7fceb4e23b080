/**
 * The WebAssembly backend: SIMD kernels in shared memory, walked by a pool of threads.
 *
 * @module
 */
export type { Access, Range, WasmKernel, WasmKernelContext } from "./kernel.ts";
export { f32 } from "./kernel.ts";
export { openWasm, type WasmDeviceOptions } from "./open.ts";
export { leadingRows, mergeRows, type Rows, rowWords } from "./rows.ts";
export { weightTypes } from "./weight-types.ts";
