import { DtypeError, ShapeError } from "../../tensor/errors.ts";
import { type Tensor, zeros } from "../../tensor/tensor.ts";
import { dense } from "../movement/operations.ts";
import { apply } from "../op.ts";
import { type CastType, castOp, castTypes, markNonFiniteOp } from "./operations.ts";

export type { CastType } from "./operations.ts";

/**
 * The same values in another element type.
 *
 * Into a float type every value is rounded to the nearest, ties to even, and becomes infinite beyond the largest
 * (float64 to bfloat16 goes through float32). Into an integer type it is cut towards zero and held to the type's
 * range; NaN becomes 0. The gradient is cast back to the type of `x`.
 *
 * @param x - any shape
 * @param dtype - type to make; `float64` on the reference device only
 * @returns `x` itself if it already has that type
 * @throws DtypeError if the device or this op does not have the type
 */
export function cast(x: Tensor, dtype: CastType): Tensor {
  if (x.dtype === dtype) return x;
  if (!castTypes.includes(dtype) || (dtype === "float64" && x.device.name !== "reference")) {
    throw new DtypeError(
      `cast: dtype must be a plain type that device ${x.device.name} has; got ${dtype}; use float32 or a smaller type`,
      { dtype, device: x.device.name },
    );
  }
  return apply(castOp, { x }, { dtype, from: x.dtype })["y"]!;
}

/**
 * Whether any element is infinite or NaN, as a flag that stays on the device.
 *
 * A step of mixed-precision training asks this of all gradients and hands the flag to the optimizer, which then
 * skips the update, without waiting for the device in between.
 *
 * @param tensors - at least one float tensor; all on one device
 * @returns int32 [1]: 1 if there is one, else 0
 * @throws ShapeError if the list is empty
 */
export function foundNonFinite(tensors: readonly Tensor[]): Tensor {
  const first = tensors[0];
  if (!first) throw new ShapeError("foundNonFinite: there must be at least one tensor; got none; pass one");
  const found = zeros([1], { device: first.device, dtype: "int32" });
  for (const x of tensors) apply(markNonFiniteOp, { x: dense(x), found });
  return found;
}
