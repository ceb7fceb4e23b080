import { assertUnpacked } from "../linear/operations.ts";
import { apply, defineOp, type Op } from "../op.ts";

/** Rows of a table by id. */
export const embeddingOp: Op = defineOp({
  name: "embedding",
  signature: "table[vocab channels], ids[...] -> y[... channels]",
  dtypes: { ids: ["int32"] },
  packed: ["table"],
  saved: ["table", "ids"],
  gradient: ({ saved, gradients, shapes }) => {
    assertUnpacked("embedding", saved["table"]!);
    const vocab = shapes["table"]![0]!;
    return { table: apply(embeddingBackwardOp, { ids: saved["ids"], dy: gradients["y"] }, { vocab })["dtable"] };
  },
  accumulate: "float32",
});

/** Adds every row of dy to the row of its id. */
export const embeddingBackwardOp: Op = defineOp({
  name: "embeddingBackward",
  signature: "ids[...], dy[... channels] -> dtable[vocab channels]",
  dtypes: { ids: ["int32"] },
  axes: ({ vocab }) => ({ vocab: vocab as number }),
  accumulate: "float32",
});
