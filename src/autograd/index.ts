/**
 * Reverse-mode differentiation above the ops: the recorder, `valueAndGrad`, and recomputation of
 * activations. Gradients of single ops live in their folders.
 *
 * @module
 */
export type { Parameters } from "../tensor/parameters.ts";
export { makeAgain, recompute } from "./recompute.ts";
export { type Objective, type ValueAndGrad, valueAndGrad } from "./value-and-grad.ts";
