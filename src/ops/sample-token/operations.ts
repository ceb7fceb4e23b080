import { defineOp, type Op } from "../op.ts";

/** An id of each row drawn by its probability, for the next step and for the host. Params: temperature, topK, topP, minP, seedLow, seedHigh. */
export const sampleTokenOp: Op = defineOp({
  name: "sampleToken",
  signature: "logits[batch vocab], ids[batch], history[slots batch], count[1], draws[batch two] -> ",
  dtypes: { ids: ["int32"], history: ["int32"], count: ["int32"], draws: ["int32"] },
  mutates: ["ids", "history", "count", "draws"],
  accumulate: "float32",
});
