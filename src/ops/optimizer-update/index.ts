import { DtypeError, ShapeError } from "../../tensor/errors.ts";
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { adamwUpdateOp, addSquaredNormOp, averageUpdateOp, sgdUpdateOp } from "./operations.ts";

/** What an update does with the gradient before it uses it. */
export interface UpdateOptions {
  /** [1], multiplies the gradient. */
  readonly scale?: Tensor;
  /** int32 [1]; where it is not 0 nothing changes, as after an overflow in float16. */
  readonly skip?: Tensor;
}

/** Options of {@link adamwUpdate}. */
export interface AdamwUpdateOptions extends UpdateOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Number of this step, from 1. */
  readonly step: number;
}

/**
 * One step of AdamW on one parameter, in place.
 *
 *     g = scale gradient;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
 *     p = p (1 - learningRate weightDecay) - learningRate (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon)
 *
 * @param parameter - p, changed
 * @param gradient - of the shape of `parameter`
 * @param moments - mean m and square v, of the same shape, changed
 * @throws ShapeError if a shape differs, or one that is changed is not dense
 * @see Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2; torch.optim.AdamW
 */
export function adamwUpdate(
  parameter: Tensor,
  gradient: Tensor,
  moments: { readonly mean: Tensor; readonly square: Tensor },
  options: AdamwUpdateOptions,
): void {
  const { scale, skip, ...params } = options;
  const { mean, square } = moments;
  checkDense("adamwUpdate", { parameter, mean, square });
  apply(adamwUpdateOp, { parameter, gradient: dense(gradient), mean, square, scale, skip }, params);
}

/** Options of {@link sgdUpdate}. */
export interface SgdUpdateOptions extends UpdateOptions {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

/**
 * One step of gradient descent on one parameter, in place.
 *
 *     g = scale gradient + weightDecay p;  velocity = momentum velocity + g;  p = p - learningRate velocity
 *
 * @param velocity - of the shape of `parameter`, changed; undefined without momentum
 * @throws ShapeError if a shape differs, or one that is changed is not dense
 * @see Sutskever et al. 2013, "On the importance of initialization and momentum in deep learning"; torch.optim.SGD
 */
export function sgdUpdate(
  parameter: Tensor,
  gradient: Tensor,
  velocity: Tensor | undefined,
  options: SgdUpdateOptions,
): void {
  const { scale, skip, ...params } = options;
  checkDense("sgdUpdate", velocity ? { parameter, velocity } : { parameter });
  apply(sgdUpdateOp, { parameter, gradient: dense(gradient), velocity, scale, skip }, params);
  // mutates cannot name an input that may be left out
  if (velocity) velocity.storage.version++;
}

/**
 * average = decay average + (1 - decay) x, in place: an exponential moving average of weights.
 *
 * @throws ShapeError if a shape differs, or `average` is not dense
 */
export function averageUpdate(average: Tensor, x: Tensor, decay: number): void {
  checkDense("averageUpdate", { average });
  apply(averageUpdateOp, { average, x: dense(x) }, { decay });
}

/**
 * Adds the sum of the squares of x to a number on the device; nothing is read back.
 *
 * @param total - [1], changed
 */
export function addSquaredNorm(x: Tensor, total: Tensor): void {
  apply(addSquaredNormOp, { x: dense(x), total });
}

function checkDense(op: string, changed: Readonly<Record<string, Tensor>>): void {
  for (const [argument, tensor] of Object.entries(changed)) {
    if (tensor.layout !== "strided") {
      throw new DtypeError(`${op}: ${argument} must not be packed; got panels; train the unpacked weight`, {
        argument,
      });
    }
    if (tensor.dense) continue;
    throw new ShapeError(
      `${op}: ${argument} must be dense to be changed in place; got a view ${formatShape(tensor.shape)}; pass the tensor itself`,
      { op, argument, actual: tensor.shape },
    );
  }
}
