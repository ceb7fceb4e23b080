import { pause } from "#platform";
import type { Device } from "../tensor/device.ts";
import { throwIfAborted } from "../tensor/errors.ts";

/** Longest time in milliseconds for which nobody else is heard. */
const LONGEST = 50;

/** Tokens of a row to run between two turns: few where computing keeps the caller's thread. */
export function turnLength(device: Device): number {
  return device.name === "reference" ? 4 : 256;
}

/**
 * A function to call between pieces of work: it gives the event loop a turn when the last one is a while ago.
 *
 * On devices that compute on the caller's thread nothing else would: neither Ctrl-C nor a timer that aborts.
 *
 * @param where - names the work in the error
 * @returns rejects with an AbortError once the signal has fired
 */
export function eventLoopTurns(signal: AbortSignal | undefined, where: string): () => Promise<void> {
  let last = performance.now();
  return async () => {
    throwIfAborted(signal, where);
    if (performance.now() - last < LONGEST) return;
    await pause(0, signal, where);
    last = performance.now();
  };
}
