import { type DType, isFloat } from "../../tensor/dtype.ts";
import { DtypeError } from "../../tensor/errors.ts";
import { checkBlocks } from "../../tensor/quantize.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { isQuantized, weightTypesOf } from "../../tensor/weight-formats.ts";
import { type CastType, cast } from "../cast/index.ts";
import { apply } from "../op.ts";
import { linearOp, packWeightOp, unpackWeightOp } from "./operations.ts";

/**
 * A linear map of the last axis, the weight in PyTorch's layout.
 *
 *     y[..., o] = sum over i of w[o, i] x[..., i] + bias[o]
 *
 * @param x - [... inFeatures]
 * @param w - [outFeatures inFeatures]; may be packed by {@link packWeight}
 * @param bias - [outFeatures]; default none
 * @returns [... outFeatures]
 * @throws ShapeError if an axis disagrees
 * @throws MambaError with code `PACKED_GRADIENT` in backward, if a packed weight is trained
 */
export function linear(x: Tensor, w: Tensor, bias?: Tensor): Tensor {
  return apply(linearOp, { x, w, bias })["y"]!;
}

/**
 * A weight in the order in which matrix kernels read it: panels of 8 rows, see `Layout`.
 *
 * Made once when a model is loaded for inference; `linear` then packs nothing at each call. On the reference
 * device a packed weight is another handle on the same elements.
 *
 * With `dtype` the weight is rounded on the way: to float16 or bfloat16, or to the blocks of 32 that int8 and int4 are, bit for
 * bit as `quantizeMatrix` does it. Products with int8 and int4 round each row of activations to int8 in blocks of 32 too.
 *
 * @param w - [rows columns], of a float type; or int8 or int4 as `quantizedTensor` makes them
 * @param dtype - type of the packed weight; default that of `w`
 * @returns packed [rows columns], to be disposed on its own
 * @throws DtypeError if weights on the device have no such type, or `w` is rounded already and another is asked for
 * @throws ShapeError if the columns of an int8 or int4 weight are not a multiple of 32
 * @throws DtypeError if a value is not finite, or too large to be rounded: at once on the reference device, at the next `read()` on
 *   others
 */
export function packWeight(w: Tensor, dtype: DType = w.dtype): Tensor {
  checkWeightType(w, dtype);
  const isFloat32 = w.dtype === "float32" || w.dtype === "float64";
  if (w.dtype === dtype || (isFloat32 && isQuantized(dtype))) return apply(packWeightOp, { w }, { dtype })["packed"]!;
  const plain = isQuantized(dtype) ? "float32" : (dtype as CastType);
  return scope(() => apply(packWeightOp, { w: cast(w, plain) }, { dtype })["packed"]!);
}

function checkWeightType(w: Tensor, dtype: DType): void {
  const { name } = w.device;
  // on a GPU float16 weights lie row by row: there is nothing to pack
  const known = name === "webgpu" ? (["float32"] as const) : weightTypesOf(name);
  if (!known.includes(dtype) || !known.includes(w.dtype)) {
    const actual = known.includes(dtype) ? w.dtype : dtype;
    throw new DtypeError(
      `packWeight: weights on ${name} must be ${known.join(" or ")}; got ${actual}; use one of these`,
      {
        dtype: actual,
        device: name,
      },
    );
  }
  if (isQuantized(dtype)) checkBlocks("packWeight", w.shape[0] ?? 0, w.shape[1] ?? 0);
  if (w.layout !== "panels8" && (w.dtype === dtype || isFloat(w.dtype))) return;
  throw new DtypeError(
    `packWeight: w must be a float weight to be packed as ${dtype}; got ${w.dtype} in ${w.layout}; begin from the float weight`,
    { dtype: w.dtype, expected: dtype },
  );
}

/**
 * Undoes {@link packWeight}, up to its rounding.
 *
 * @param packed - [rows columns] in panels
 * @returns [rows columns], dense, in float32
 */
export function unpackWeight(packed: Tensor): Tensor {
  return apply(unpackWeightOp, { packed })["w"]!;
}
