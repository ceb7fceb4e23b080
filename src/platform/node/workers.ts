import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";
import { Worker } from "node:worker_threads";
import type { WorkerEvents, WorkerHandle } from "../workers.ts";

/** Starts a worker from a script's source, or from a URL if one is given. */
export function startWorker(source: string, url: string | URL | undefined, events: WorkerEvents): WorkerHandle {
  const worker = url === undefined ? new Worker(source, { eval: true }) : new Worker(new URL(url));
  worker.on("message", events.message);
  worker.on("error", (error) => events.error(String((error as Error).message)));
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate: () => void worker.terminate(),
  };
}

/** Threads that the machine runs side by side. */
export function hardwareThreads(): number {
  return availableParallelism();
}

/** Whether threads may share memory. */
export function sharedMemoryAllowed(): boolean {
  return true;
}

/** Whether the calling thread may wait for others. */
export function canBlock(): boolean {
  return true;
}

/**
 * Node 20 has relaxed SIMD behind a flag, which may be set until the first module that uses it is compiled.
 *
 * @returns whether it is worth asking the engine for it
 */
export function enableRelaxedSimd(): boolean {
  const major = Number(process.versions.v8?.split(".")[0]);
  if (major < 12 && !process.versions["bun"]) setFlagsFromString("--experimental-wasm-relaxed-simd");
  return true;
}
