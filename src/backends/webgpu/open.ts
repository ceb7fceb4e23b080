import type { Device } from "../../tensor/device.ts";
import { DeviceError } from "../../tensor/errors.ts";
import { findAdapter, nameOf, wantedFeatures, wantedLimits } from "./adapter.ts";
import { WebgpuBackend } from "./backend.ts";

/** How {@link openWebgpu} runs; the public description is DeviceOptions. */
export interface WebgpuDeviceOptions {
  readonly adapter?: GPUAdapter;
  readonly powerPreference?: GPUPowerPreference;
  /** Ask for no feature and no limit above the default: what every device has. */
  readonly plainGpu?: boolean;
  /** Bytes that a binding is taken to have at most, to try on small tensors what is done with large ones. */
  readonly bindingBytes?: number;
}

/** What the plain kernels need; the standard promises it, compatibility adapters do not. */
const neededLimits = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65535,
} as const;

/**
 * Opens the WebGPU device, with everything that kernels can make use of and the adapter has.
 *
 * @param kernels - encoders by op name
 * @throws DeviceError if there is no WebGPU here, no adapter, or one that cannot run the kernels
 */
export async function openWebgpu(
  options: WebgpuDeviceOptions,
  kernels: Readonly<Record<string, unknown>>,
): Promise<Device> {
  const adapter = options.adapter ?? (await findAdapter(options.powerPreference));
  checkLimits(adapter);
  const requiredFeatures = options.plainGpu ? [] : wantedFeatures.filter((name) => adapter.features.has(name));
  const requiredLimits = options.plainGpu
    ? {}
    : Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]));
  try {
    const device = await adapter.requestDevice({
      requiredFeatures: requiredFeatures as GPUFeatureName[],
      requiredLimits,
    });
    return new WebgpuBackend(device, kernels, adapter.info, options.bindingBytes);
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new DeviceError(`webgpu: the adapter must give a device; ${problem}; try another adapter`, {}, { cause });
  }
}

function checkLimits({ limits, info }: GPUAdapter): void {
  for (const [name, needed] of Object.entries(neededLimits)) {
    const actual = limits[name as keyof typeof neededLimits];
    if (actual >= needed) continue;
    throw new DeviceError(
      `webgpu: the adapter must have ${name} of at least ${needed}; ${nameOf(info)} has ${actual}; choose another adapter, or device "wasm"`,
      { limit: name, expected: needed, actual },
    );
  }
}
