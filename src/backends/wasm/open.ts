import { canBlock, hardwareThreads, sharedMemoryAllowed } from "#platform";
import type { Device } from "../../tensor/device.ts";
import { ConfigError, DeviceError } from "../../tensor/errors.ts";
import { WasmBackend } from "./backend.ts";
import { CallerExecutor } from "./caller-executor.ts";
import { control, PAGE_BYTES } from "./control.ts";
import type { Executor } from "./executor.ts";
import { MessageExecutor } from "./message-executor.ts";
import { type CompiledKernels, compileKernels } from "./module.ts";
import { PoolExecutor } from "./pool-executor.ts";
import { reserveMemory } from "./wasm-memory.ts";

const MOST_THREADS = 16;

/** How {@link openWasm} runs; the public description is DeviceOptions. */
export interface WasmDeviceOptions {
  readonly threads?: number;
  readonly callerTakesPart?: boolean;
  readonly relaxedSimd?: boolean;
  readonly wasm?: {
    readonly module?: WebAssembly.Module | readonly WebAssembly.Module[];
    readonly url?: string | URL | readonly (string | URL)[];
    readonly workerUrl?: string | URL;
  };
}

/**
 * Opens the WebAssembly device.
 *
 * Without shared memory (a page that is not cross-origin isolated) one worker computes, and a warning says so.
 *
 * @param kernels - encoders by op name
 * @throws ConfigError if `threads` is not a whole number from 0 to 16
 * @throws DeviceError if the engine cannot run the kernels
 */
export async function openWasm(
  options: WasmDeviceOptions,
  kernels: Readonly<Record<string, unknown>>,
): Promise<Device> {
  const threads = chosenThreads(options.threads);
  const shared = threads > 0 && sharedMemoryAllowed();
  if (threads > 1 && !shared) warnUnshared();
  const { relaxedSimd, wasm } = options;
  // caller-thread runs without workers may use shared-memory code as it is where that is allowed
  const unshared = !sharedMemoryAllowed();
  const compiled = await compileKernels({ relaxedSimd, module: wasm?.module, url: wasm?.url, unshared });
  const executor = await openExecutor(threads, shared, unshared, options, compiled);
  if (compiled.dot) executor.write(control.dot, new Uint8Array([1, 0, 0, 0]));
  const features = new Set(["simd", `executor-${executor.kind}`]);
  if (compiled.relaxed) features.add("relaxed-simd");
  if (compiled.dot) features.add("byte-dot");
  if (executor.threads > 1) features.add("threads");
  const limit = reserveMemory(!unshared).limits.maximum * PAGE_BYTES;
  return new WasmBackend(executor, { kernels, features, limit });
}

async function openExecutor(
  threads: number,
  shared: boolean,
  unshared: boolean,
  options: WasmDeviceOptions,
  { modules }: CompiledKernels,
): Promise<Executor> {
  const setup = { modules, workerUrl: options.wasm?.workerUrl };
  const callerTakesPart = options.callerTakesPart !== false && canBlock();
  try {
    if (threads === 0) return await CallerExecutor.open(1, !unshared, setup);
    if (callerTakesPart) return await CallerExecutor.open(shared ? threads : 1, !unshared, setup);
    return shared ? await PoolExecutor.open(threads, setup) : await MessageExecutor.open(setup);
  } catch (cause) {
    if (cause instanceof WebAssembly.LinkError || /shared state/.test(String((cause as Error).message))) {
      throw new DeviceError(
        `wasm: wasm.module must be compiled from ${unshared ? "kernels-unshared.wasm" : "kernels.wasm"} of this version; the engine says ${String((cause as Error).message)}; pass that one${unshared ? ", for this page may not share memory" : ""}`,
        { unshared },
        { cause },
      );
    }
    throw new DeviceError(
      `wasm: workers must start; the engine says ${String((cause as Error).message)}; pass wasm.workerUrl where blobs are forbidden, or threads: 0 to compute on the calling thread`,
      {},
      { cause },
    );
  }
}

function chosenThreads(threads: number | undefined): number {
  if (threads === undefined) return Math.min(hardwareThreads(), MOST_THREADS);
  if (Number.isInteger(threads) && threads >= 0 && threads <= MOST_THREADS) return threads;
  throw new ConfigError(
    `openDevice: threads must be a whole number from 0 to ${MOST_THREADS}; got ${threads}; leave it out for the machine's own`,
    { threads },
  );
}

let warned = false;

function warnUnshared(): void {
  if (warned) return;
  warned = true;
  console.warn(
    "mamba.ts: this page may not share memory between threads, so one worker computes; serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp to use all cores",
  );
}
