import { seedWords } from "../../tensor/random.ts";
import { defineOp, type Op } from "../op.ts";

/** Which random numbers: the same seed and stream give the same ones on every device. */
export interface StreamOptions {
  /** Non-negative integer below 2^64. */
  seed: number | bigint;
  /** Independent streams of one seed, below 2^32; default 0. */
  stream?: number;
}

/** Seed and stream as the parameters of an op. */
export function streamParams({ seed, stream = 0 }: StreamOptions): Record<"seedLow" | "seedHigh" | "stream", number> {
  const [seedLow, seedHigh] = seedWords(seed);
  return { seedLow, seedHigh, stream: stream >>> 0 };
}

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
