import type { Tensor } from "../../tensor/tensor.ts";
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
 * A weight in the order in which matrix kernels read it: panels of 8 rows, [ceil(rows / 8)] [columns] [8].
 *
 * Made once when a model is loaded for inference; `linear` then packs nothing at each call. On the reference
 * device it is another handle on the same elements.
 *
 * @param w - [rows columns]
 * @returns packed [rows columns], to be disposed on its own
 */
export function packWeight(w: Tensor): Tensor {
  return apply(packWeightOp, { w })["packed"]!;
}

/**
 * Undoes {@link packWeight}.
 *
 * @param packed - [rows columns] in panels
 * @returns [rows columns], dense
 */
export function unpackWeight(packed: Tensor): Tensor {
  return apply(unpackWeightOp, { packed })["w"]!;
}
