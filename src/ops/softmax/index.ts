import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { logSoftmaxOp, softmaxOp } from "./operations.ts";

/**
 * Probabilities along the last axis.
 *
 *     y[..., i] = exp(x[..., i] - max x) / sum over j of exp(x[..., j] - max x)
 *
 * The largest element is taken off first, so no finite input overflows. Elements of -Infinity get 0; a line of
 * nothing else gets NaN, as it has no distribution.
 *
 * @param x - [... classes]
 * @returns [... classes], each line summing to 1
 */
export function softmax(x: Tensor): Tensor {
  return apply(softmaxOp, { x })["y"]!;
}

/**
 * Logarithms (natural) of the probabilities along the last axis, exact where those would round to 0 or 1.
 *
 *     y[..., i] = x[..., i] - max x - ln sum over j of exp(x[..., j] - max x)
 *
 * @param x - [... classes]
 * @returns [... classes]
 */
export function logSoftmax(x: Tensor): Tensor {
  return apply(logSoftmaxOp, { x })["y"]!;
}
