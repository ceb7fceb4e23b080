/**
 * Reverse-mode differentiation above the ops: the recorder, `valueAndGrad`, and recomputation of
 * activations. Gradients of single ops live in their folders.
 *
 * @module
 */
export { recompute } from "./recompute.ts";
export { type Objective, type Parameters, type ValueAndGrad, valueAndGrad } from "./value-and-grad.ts";
