import { openGpu } from "#platform";
import { useSoftwareGpu } from "./software-gpu.ts";

/** An adapter of this machine's (software) GPU that hands out its native device to the test too. */
export interface TappedAdapter {
  readonly adapter: GPUAdapter;
  /** The device that was opened last. */
  readonly native: () => GPUDevice;
}

/**
 * Taps what lies between the backend and the GPU.
 *
 * @param changes - facts of the adapter to lie about
 */
export async function tapAdapter(changes: Partial<Record<keyof GPUAdapter, unknown>> = {}): Promise<TappedAdapter> {
  await useSoftwareGpu();
  const real = (await (await openGpu()).requestAdapter())!;
  let native: GPUDevice | undefined;
  const adapter = {
    features: real.features,
    limits: real.limits,
    info: real.info,
    requestDevice: async (descriptor: GPUDeviceDescriptor) => {
      native = await real.requestDevice(descriptor);
      return native;
    },
    ...changes,
  };
  return { adapter: adapter as unknown as GPUAdapter, native: () => native! };
}
