import { OutOfMemoryError } from "../tensor/errors.ts";

/**
 * Throws before anything is loaded if weights do not fit a device.
 *
 * @param bytes - what they need
 * @param limit - what is free
 * @param what - whose weights, for the message
 * @param smaller - what they would need in other types, in words
 * @throws OutOfMemoryError with both numbers as facts
 */
export function checkFits(bytes: number, limit: number, what: string, smaller: readonly string[] = []): void {
  if (bytes <= limit) return;
  throw new OutOfMemoryError(
    `${what}: weights must fit the memory that is free, ${formatMiB(limit)}; they need ${formatMiB(bytes)}` +
      `${smaller.length ? `, ${smaller.join(", ")}` : ""}; ` +
      "dispose of other models, choose a smaller one, or open a device with more memory",
    { needed: bytes, free: limit },
  );
}

function formatMiB(bytes: number): string {
  return `${(Math.max(0, bytes) / 2 ** 20).toFixed(1)} MiB`;
}
