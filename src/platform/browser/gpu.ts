import { DeviceError } from "../../tensor/errors.ts";

/**
 * The browser's WebGPU.
 *
 * @throws DeviceError if it has none
 */
export async function openGpu(): Promise<GPU> {
  const own = (globalThis.navigator as { gpu?: GPU } | undefined)?.gpu;
  if (own) return own;
  throw new DeviceError(
    "webgpu: the page must have navigator.gpu; it has none; use a newer browser, and https or localhost",
    {},
  );
}

/** Whether it is worth looking for a graphics card. */
export function mayHaveGpu(): boolean {
  return (globalThis.navigator as { gpu?: GPU } | undefined)?.gpu !== undefined;
}

/** Whether nobody may choose the graphics card who was not told to; in Node an environment variable says so. */
export function avoidsGpu(): boolean {
  return false;
}
