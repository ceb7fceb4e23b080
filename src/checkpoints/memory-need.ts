import { OutOfMemoryError } from "../tensor/errors.ts";

/**
 * Throws before anything is loaded if weights do not fit a device.
 *
 * @param bytes - what they need
 * @param limit - what is free
 * @param what - whose weights, for the message
 * @throws OutOfMemoryError with both numbers as facts
 */
export function checkFits(bytes: number, limit: number, what: string): void {
  if (bytes <= limit) return;
  throw new OutOfMemoryError(
    `${what}: weights must fit the memory that is free, ${formatMiB(limit)}; they need ${formatMiB(bytes)}; ` +
      "dispose of other models, choose a smaller one, or open a device with more memory",
    { needed: bytes, free: limit },
  );
}

function formatMiB(bytes: number): string {
  return `${(Math.max(0, bytes) / 2 ** 20).toFixed(1)} MiB`;
}
