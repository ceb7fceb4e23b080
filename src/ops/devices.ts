import type { Device, DeviceName } from "../tensor/device.ts";
import { DeviceError } from "../tensor/errors.ts";

/** How a strict content security policy or a bundler is served. */
export interface WasmOptions {
  /**
   * Compiled kernels, where compiling from bytes is forbidden: of `kernels.wasm` where memory may be shared, of
   * `kernels-unshared.wasm` on a page that is not cross-origin isolated.
   */
  module?: WebAssembly.Module;
  /** Where to fetch the kernels from instead of the copy inside the package. */
  url?: string | URL;
  /** Where to load the worker script from instead of a blob. */
  workerUrl?: string | URL;
}

/** Options of {@link openDevice}. */
export interface DeviceOptions {
  /** Threads of the wasm device; default: the machine's, at most 16. 0 runs everything on the caller's thread. */
  threads?: number;
  /** In Node, whether the caller's thread works too while it waits; default true. Never in browsers. */
  callerTakesPart?: boolean;
  /** Whether relaxed SIMD (fused multiply-add) may be used where the engine has it; default true. */
  relaxedSimd?: boolean;
  wasm?: WasmOptions;
  /** Of the WebGPU device: which adapter, where the caller has one. */
  adapter?: GPUAdapter;
  /** Of the WebGPU device, where there is a choice; default `high-performance`. */
  powerPreference?: GPUPowerPreference;
  /** Of the WebGPU device: no optional feature and no limit above the default, as if the adapter had no more; default false. */
  plainGpu?: boolean;
  /**
   * Of the WebGPU device: bytes that one binding is taken to have at most; default: what the adapter has. Larger tensors are worked on
   * in parts. For tests: what is done with tensors of gigabytes shows on small ones.
   */
  bindingBytes?: number;
}

/**
 * Opens a device.
 *
 * @param name - `wasm`, `webgpu`, `reference` (float64, slow: the oracle), or `auto`: `webgpu` if there is a graphics card that it
 *   can use, not a program that acts as one, else `wasm`
 * @param options - see {@link DeviceOptions}
 * @throws DeviceError if this machine does not offer it
 */
export async function openDevice(name: DeviceName | "auto" = "auto", options: DeviceOptions = {}): Promise<Device> {
  if (name === "reference") {
    const [{ ReferenceBackend }, { referenceKernels }] = await Promise.all([
      import("../backends/reference/index.ts"),
      import("./kernels/reference.ts"),
    ]);
    return new ReferenceBackend(referenceKernels);
  }
  if (name === "auto") return (await openCard(options)) ?? openDevice("wasm", options);
  if (name === "wasm") {
    const [{ openWasm }, { wasmKernels }] = await Promise.all([
      import("../backends/wasm/index.ts"),
      import("./kernels/wasm.ts"),
    ]);
    return openWasm(options, wasmKernels);
  }
  if (name === "webgpu") {
    const [{ openWebgpu }, { webgpuKernels }] = await Promise.all([
      import("../backends/webgpu/index.ts"),
      import("./kernels/webgpu.ts"),
    ]);
    return openWebgpu(options, webgpuKernels);
  }
  throw new DeviceError(
    `openDevice: name must be "wasm", "reference", "webgpu" or "auto"; got "${name}"; use one of them`,
    {
      name,
    },
  );
}

/** The WebGPU device of a graphics card; undefined if there is none, or it does not open. */
async function openCard(options: DeviceOptions): Promise<Device | undefined> {
  const { findRealAdapter } = await import("../backends/webgpu/index.ts");
  const adapter = options.adapter ?? (await findRealAdapter(options.powerPreference));
  if (!adapter) return undefined;
  try {
    return await openDevice("webgpu", { ...options, adapter });
  } catch (error) {
    if (error instanceof DeviceError) return undefined;
    throw error;
  }
}
