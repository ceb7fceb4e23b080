import { permuted } from "../permutation.ts";
import { checkSize } from "../task-options.ts";

/**
 * An order of the pixels of an image, drawn once from a seed and the same for all images: place t of a sequence is pixel
 * `order[t]`. Without a seed, from left to right and from top to bottom.
 */
export function pixelOrder(pixels: number, seed?: number): Int32Array {
  if (seed === undefined) return Int32Array.from({ length: pixels }, (_, place) => place);
  checkSize("pixelOrder", "seed", seed, 0, Number.MAX_SAFE_INTEGER);
  return Int32Array.from({ length: pixels }, (_, place) => permuted(place, pixels, { seed, epoch: 0 }));
}
