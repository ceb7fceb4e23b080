import { DtypeError, ShapeError } from "../../tensor/errors.ts";
import { formatShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
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

/** What a step of AdamW has in common for all parameters. */
export interface AdamwCommonOptions extends UpdateOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Number of this step, from 1. */
  readonly step: number;
}

/** Options of {@link adamwUpdate}. */
export interface AdamwUpdateOptions extends AdamwCommonOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** One parameter's share of {@link adamwUpdateAll}. */
export interface AdamwUpdate {
  /** p, changed. */
  readonly parameter: Tensor;
  /** Of the shape of `parameter`. */
  readonly gradient: Tensor;
  /** m, of the shape of `parameter`, changed. */
  readonly mean: Tensor;
  /** v, of the shape of `parameter`, changed. */
  readonly square: Tensor;
  readonly learningRate: number;
  readonly weightDecay: number;
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
  { learningRate, weightDecay, ...common }: AdamwUpdateOptions,
): void {
  adamwUpdateAll([{ parameter, gradient, ...moments, learningRate, weightDecay }], common);
}

/**
 * The step of {@link adamwUpdate} on many parameters at once, which is faster than one after the other where a device has to be told
 * of each.
 *
 * @throws ShapeError if a shape differs, or a tensor that is changed is not dense
 */
export function adamwUpdateAll(updates: readonly AdamwUpdate[], options: AdamwCommonOptions): void {
  if (updates.length === 0) return;
  const { scale, skip, ...params } = options;
  const inputs: Record<string, Tensor | undefined> = { scale, skip };
  updates.forEach(({ parameter, gradient, mean, square }, i) => {
    checkDense("adamwUpdate", { parameter, mean, square });
    checkShapes("adamwUpdate", parameter, { gradient, mean, square });
    const own = { parameter, gradient: dense(gradient), mean, square };
    for (const [role, tensor] of Object.entries(own)) inputs[`${role}${i}`] = tensor;
  });
  const learningRates = updates.map(({ learningRate }) => learningRate);
  const weightDecays = updates.map(({ weightDecay }) => weightDecay);
  apply(adamwUpdateOp, present(inputs), { ...params, learningRates, weightDecays });
  // mutates cannot name inputs of any number
  for (const { parameter, mean, square } of updates) {
    for (const changed of [parameter, mean, square]) changed.storage.version++;
  }
}

/** A variadic op has no optional inputs: what is not there is left out. */
function present(inputs: Readonly<Record<string, Tensor | undefined>>): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(inputs).filter(([, tensor]) => tensor !== undefined)) as Record<
    string,
    Tensor
  >;
}

function checkShapes(op: string, like: Tensor, others: Readonly<Record<string, Tensor>>): void {
  for (const [argument, { shape }] of Object.entries(others)) {
    if (shape.join() === like.shape.join()) continue;
    throw new ShapeError(
      `${op}: ${argument} must have the parameter's shape ${formatShape(like.shape)}; got ${formatShape(shape)}; pass the tensors of one parameter`,
      { op, argument, expected: like.shape, actual: shape },
    );
  }
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
 * Adds the sum of the squares of one tensor, or of many, to a number on the device; nothing is read back.
 *
 * @param total - [1], changed
 * @throws ShapeError if `total` has more than one element
 */
export function addSquaredNorm(x: Tensor | readonly Tensor[], total: Tensor): void {
  const all = x instanceof Tensor ? [x] : x;
  if (total.size !== 1) {
    throw new ShapeError(`addSquaredNorm: total must have one element; got ${formatShape(total.shape)}; pass [1]`, {
      actual: total.shape,
    });
  }
  const parts = Object.fromEntries(all.map((part, i) => [`part${i}`, dense(part)]));
  apply(addSquaredNormOp, { total, ...parts });
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
