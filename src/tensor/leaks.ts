import type { Storage } from "./storage.ts";

/** What is known about a storage that nobody released. */
interface Origin {
  readonly byteLength: number;
  readonly stack: string;
}

type Report = (message: string) => void;

let registry: FinalizationRegistry<Origin> | undefined;

/**
 * Reports device memory that is garbage collected without having been disposed: every such tensor stays allocated
 * on its device until the device goes.
 *
 * For development; costs a stack trace per tensor. Switched on by itself where the environment variable
 * `MAMBA_DEBUG` is set.
 *
 * @param report - where to; default `console.warn`
 */
export function reportLeaks(report: Report = console.warn): void {
  registry = new FinalizationRegistry(({ byteLength, stack }) => {
    report(
      `mamba.ts: ${byteLength} bytes of device memory must be freed with dispose() or scope(); their last handle was garbage collected; they were made at${stack}`,
    );
  });
}

/** Stops {@link reportLeaks}. */
export function ignoreLeaks(): void {
  registry = undefined;
}

/** @internal */
export function watch(storage: Storage): void {
  registry?.register(storage, { byteLength: storage.byteLength, stack: callers() }, storage);
}

/** @internal */
export function unwatch(storage: Storage): void {
  registry?.unregister(storage);
}

/** The stack without the frames of this room. */
function callers(): string {
  const lines = (new Error().stack ?? "").split("\n").slice(1);
  const outside = lines.filter((line) => !/[\\/]tensor[\\/](leaks|storage|tensor)\.[jt]s/.test(line));
  return `\n${outside.slice(0, 6).join("\n")}`;
}

const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
if (process?.env?.["MAMBA_DEBUG"]) reportLeaks();
