/**
 * The reference backend: memory as ArrayBuffers, kernels as plain loops, float64 too.
 *
 * @module
 */
export {
  forEachOffset,
  ReferenceBackend,
  type ReferenceContext,
  type ReferenceKernel,
  weightElements,
} from "./backend.ts";
