/**
 * The WebGPU backend: device, buffers, pipelines, batches of dispatches; no mathematics of any op.
 *
 * @module
 */

export { type AdapterFacts, describeAdapter, findRealAdapter } from "./adapter.ts";
export { WebgpuBackend } from "./backend.ts";
export type { GpuMemory } from "./buffer-pool.ts";
export { denseParts } from "./dense-parts.ts";
export { type Bound, failureCode, type WebgpuKernel, type WebgpuKernelContext } from "./kernel.ts";
export { openWebgpu, type WebgpuDeviceOptions } from "./open.ts";
export { type GpuBinding, type GpuType, type Program, programNamed } from "./program.ts";
export { groupMax, groupSum } from "./reduction.ts";
export { type MergedAxes, mergeAxes, walkByFour, walkCode, walkParams, walkValues } from "./strided.ts";
export { type WgslMath, wgslMath } from "./wgsl-math.ts";
