import { avoidsGpu, mayHaveGpu, openGpu } from "#platform";
import { DeviceError } from "../../tensor/errors.ts";

/** Features that kernels make use of. */
export const wantedFeatures = ["subgroups", "shader-f16", "timestamp-query", "chromium-experimental-subgroup-matrix"];

/** Limits that kernels make use of. */
export const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

/** What an adapter calls itself. */
export function nameOf({ vendor, device, description }: GPUAdapterInfo): string {
  return description || device || vendor || "unknown adapter";
}

/** Drivers that compute on the CPU, by what they call themselves. */
const softwareNames = /swiftshader|llvmpipe|lavapipe|basic render|software/i;

/** Whether an adapter is no graphics card but a program, slower than the wasm device. */
export function isSoftwareAdapter({ info }: GPUAdapter): boolean {
  const { isFallbackAdapter, vendor, architecture, device, description } = info;
  return isFallbackAdapter === true || softwareNames.test(`${vendor} ${architecture} ${device} ${description}`);
}

/** The adapter of a graphics card, if there is one that can be had; never throws. */
export async function findRealAdapter(powerPreference?: GPUPowerPreference): Promise<GPUAdapter | undefined> {
  if (avoidsGpu() || !mayHaveGpu()) return undefined;
  try {
    const adapter = await findAdapter(powerPreference);
    return isSoftwareAdapter(adapter) ? undefined : adapter;
  } catch {
    return undefined;
  }
}

/** What an adapter is and offers. */
export interface AdapterFacts {
  readonly description: string;
  /** See {@link isSoftwareAdapter}. */
  readonly isSoftware: boolean;
  /** Those that kernels make use of. */
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/**
 * Says what the adapter is that {@link openWebgpu} would take.
 *
 * @throws DeviceError if there is none
 */
export async function describeAdapter(): Promise<AdapterFacts> {
  // Dawn would complain on its own behind our back
  if (!mayHaveGpu()) throw noAdapter();
  const adapter = await findAdapter();
  return {
    description: nameOf(adapter.info),
    isSoftware: isSoftwareAdapter(adapter),
    features: wantedFeatures.filter((name) => adapter.features.has(name)),
    limits: Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]])),
  };
}

/**
 * The adapter that the system prefers.
 *
 * @throws DeviceError if there is none
 */
export async function findAdapter(powerPreference: GPUPowerPreference = "high-performance"): Promise<GPUAdapter> {
  const gpu = await openGpu();
  const adapter = await gpu.requestAdapter({ powerPreference });
  if (adapter) return adapter;
  throw noAdapter();
}

function noAdapter(): DeviceError {
  return new DeviceError(
    "webgpu: there must be an adapter; the system offers none; install a graphics driver with Vulkan, Metal or Direct3D 12, or use wasm",
    {},
  );
}
