import { readdirSync } from "node:fs";
import { DeviceError } from "../../tensor/errors.ts";

/** Toggles of Dawn that the fast kernels need; none of them gives up a check. */
const TOGGLES = "allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model";

/** Times of kernels would be rounded to 0.1 ms, which is meant for web pages. */
const NO_TOGGLES = "timestamp_quantization";

type CreateGpu = (options: string[]) => GPU;

let opened: Promise<GPU> | undefined;

/**
 * WebGPU of this process: `navigator.gpu` where the runtime has it, as Deno does, else that of the npm package `webgpu`, which has to
 * be installed beside this one.
 *
 * @throws DeviceError if there is none
 */
export async function openGpu(): Promise<GPU> {
  const own = (globalThis.navigator as { gpu?: GPU } | undefined)?.gpu;
  if (own) return own;
  opened ??= createGpu();
  return opened;
}

/** What Linux calls the cards that Vulkan may drive: of Mesa and most others, NVIDIA, AMD, Windows below, ARM. */
const cardFiles = /^(?:dri|nvidia\d+|kfd|dxg|mali\d+)$/;

/** Whether it is worth looking for a graphics card: false where the system has none for sure, without loading anything. */
export function mayHaveGpu(): boolean {
  if (process.platform !== "linux" || process.env["VK_DRIVER_FILES"] || process.env["VK_ICD_FILENAMES"]) return true;
  try {
    return readdirSync("/dev").some((name) => cardFiles.test(name));
  } catch {
    return true;
  }
}

/** Whether nobody may choose the graphics card who was not told to: the environment variable MAMBA_NO_GPU is set. */
export function avoidsGpu(): boolean {
  return Boolean(process.env["MAMBA_NO_GPU"]);
}

async function createGpu(): Promise<GPU> {
  // a name that bundlers and the type checker do not follow: the package is optional
  const packageName = "webgpu";
  let module: { create: CreateGpu; globals: Record<string, unknown> };
  try {
    module = (await import(packageName)) as typeof module;
  } catch (cause) {
    opened = undefined;
    throw new DeviceError(
      'webgpu: Node has WebGPU through the package "webgpu"; it is not there or does not load; run npm install webgpu',
      {},
      { cause },
    );
  }
  return module.create([`enable-dawn-features=${TOGGLES}`, `disable-dawn-features=${NO_TOGGLES}`]);
}
