import { AbortError } from "../tensor/errors.ts";

/**
 * Waits.
 *
 * @param where - names the waiting part in the error
 * @throws AbortError as soon as the signal fires
 */
export function pause(ms: number, signal: AbortSignal | undefined, where: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(new AbortError(`${where}: aborted by the caller while waiting`, {}, { cause: signal?.reason }));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}
