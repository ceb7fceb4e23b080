import { defineOp, type Op } from "../op.ts";

/** The likeliest id of each row, for the next step and for the host. */
export const likeliestTokenOp: Op = defineOp({
  name: "likeliestToken",
  signature: "logits[batch vocab], ids[batch], history[slots batch], count[1] -> ",
  dtypes: { ids: ["int32"], history: ["int32"], count: ["int32"] },
  mutates: ["ids", "history", "count"],
  accumulate: "float32",
});
