import { defineOp, type Op } from "../op.ts";

/**
 * Overwrites y with uniforms: element i is word i of the stream (`stream`) of the seed (`seedLow`, `seedHigh`,
 * its two 32-bit words), that is lane i % 4 of the Philox4x32-10 block with the counter (floor(i / 4), 0, stream, 0).
 */
export const fillUniformOp: Op = defineOp({
  name: "fillUniform",
  signature: "y[*] -> ",
  mutates: ["y"],
  accumulate: "float32",
});
