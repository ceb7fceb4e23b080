import type { WorkerEvents, WorkerHandle } from "../workers.ts";

/** Starts a worker from a script's source through a blob, or from a URL if one is given. */
export function startWorker(source: string, url: string | URL | undefined, events: WorkerEvents): WorkerHandle {
  const own = url === undefined ? URL.createObjectURL(new Blob([source], { type: "text/javascript" })) : undefined;
  const worker = new Worker(own ?? url!);
  worker.addEventListener("message", ({ data }) => {
    if (own) URL.revokeObjectURL(own);
    events.message(data);
  });
  worker.addEventListener("error", (event) => events.error(event.message || "its script could not be loaded"));
  return {
    post: (message) => worker.postMessage(message),
    keepAlive: () => {},
    terminate: () => worker.terminate(),
  };
}

/** Threads that the machine runs side by side. */
export function hardwareThreads(): number {
  return navigator.hardwareConcurrency || 1;
}

/** Whether threads may share memory: the page is cross-origin isolated. */
export function sharedMemoryAllowed(): boolean {
  return globalThis.crossOriginIsolated === true;
}

/** A browser's thread never waits: the page would freeze. */
export function canBlock(): boolean {
  return false;
}

/** Browsers have relaxed SIMD without asking, or not at all. */
export function enableRelaxedSimd(): boolean {
  return true;
}
