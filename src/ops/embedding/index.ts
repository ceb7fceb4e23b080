import type { Tensor } from "../../tensor/tensor.ts";
import { apply } from "../op.ts";
import { embeddingOp } from "./operations.ts";

/**
 * Looks up one row for each id.
 *
 *     y[..., c] = table[ids[...], c]
 *
 * The gradient of the table sums the rows of equal ids in the order of the ids, so it is the same in every run.
 *
 * @param table - [vocab channels]; may be packed by `packWeight`, as a tied output head is
 * @param ids - int32 [...], in 0 to vocab - 1
 * @returns [... channels]
 * @throws MambaError with code `ID_OUT_OF_RANGE`: at once on the reference device, at the next `read()` on others
 */
export function embedding(table: Tensor, ids: Tensor): Tensor {
  return apply(embeddingOp, { table, ids })["y"]!;
}
