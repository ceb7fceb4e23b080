import { openDevice } from "../../src/ops/devices.ts";
import type { Device } from "../../src/tensor/device.ts";

/** What a GPU may claim to have, for shaders to be made for it. */
export interface GpuProfile {
  readonly name: string;
  readonly features: readonly string[];
  /** Threads of a subgroup, where all have as many. */
  readonly subgroupSize?: number;
  /** Whether it multiplies fragments of 16 x 16 x 16 in float16. */
  readonly hasMatrices?: boolean;
  /** Limits above the default ones; the validator has only those. */
  readonly limits?: Readonly<Record<string, number>>;
}

/** From what every device has to what the graphics cards of servers have. */
export const gpuProfiles: readonly GpuProfile[] = [
  { name: "plain", features: [] },
  { name: "subgroups of 32 and float16", features: ["subgroups", "shader-f16"], subgroupSize: 32 },
  {
    name: "a card with matrix cores",
    features: ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"],
    subgroupSize: 32,
    hasMatrices: true,
    limits: {
      maxStorageBuffersPerShaderStage: 16,
      maxComputeWorkgroupStorageSize: 49152,
      maxComputeInvocationsPerWorkgroup: 1024,
      maxComputeWorkgroupSizeX: 1024,
      maxStorageBufferBindingSize: 2 ** 31 - 4,
      maxBufferSize: 2 ** 31,
    },
  },
];

/** A device that checks shaders and commands, and computes nothing. */
export interface ShaderValidator {
  readonly device: Device;
  /** Names of the programs that were compiled. */
  readonly programs: ReadonlySet<string>;
  /** Everything that was wrong with any of them so far: what they were and what the compiler said. */
  problems(): Promise<string[]>;
}

type CreateGpu = (options: string[]) => GPU;
let gpu: Promise<GPU> | undefined;

async function openNullGpu(): Promise<GPU> {
  const packageName = "webgpu";
  const { create } = (await import(packageName)) as { create: CreateGpu };
  return create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
}

/** Opens the null backend of Dawn as a GPU of that profile; it has the whole front end, so that every shader is validated. */
export async function openValidator(profile: GpuProfile): Promise<ShaderValidator> {
  gpu ??= openNullGpu();
  const real = (await (await gpu).requestAdapter())!;
  const programs = new Set<string>();
  const pending: Promise<string[]>[] = [];
  const requestDevice = async ({ requiredFeatures }: GPUDeviceDescriptor): Promise<GPUDevice> => {
    const native = await real.requestDevice({ requiredFeatures: requiredFeatures! });
    return watchPrograms(native, profile, programs, pending);
  };
  const config = { M: 16, N: 16, K: 16, componentType: "f16", resultComponentType: "f32" };
  const size = profile.subgroupSize;
  const adapter = {
    features: new Set(profile.features),
    limits: overlay(real.limits, profile.limits ?? {}),
    info: {
      vendor: "null",
      architecture: "",
      device: "",
      description: profile.name,
      ...(size ? { subgroupMinSize: size, subgroupMaxSize: size } : {}),
      ...(profile.hasMatrices ? { subgroupMatrixConfigs: [config] } : {}),
    },
    requestDevice,
  } as unknown as GPUAdapter;
  const device = await openDevice("webgpu", { adapter });
  const problems = async (): Promise<string[]> => (await Promise.all(pending)).flat();
  return { device, programs, problems };
}

/** Asks the compiler about every program; where limits are only claimed, nothing else of the native device is used for them. */
function watchPrograms(
  native: GPUDevice,
  profile: GpuProfile,
  programs: Set<string>,
  pending: Promise<string[]>[],
): GPUDevice {
  const createShaderModule = (descriptor: GPUShaderModuleDescriptor): GPUShaderModule => {
    const made = native.createShaderModule(descriptor);
    programs.add(descriptor.label!);
    const told = made.getCompilationInfo().then(({ messages }) => messages.filter(({ type }) => type === "error"));
    pending.push(told.then((found) => found.map(({ message }) => `${descriptor.label}: ${message}`)));
    return made;
  };
  const createBuffer = (descriptor: GPUBufferDescriptor): GPUBuffer => {
    const made = native.createBuffer(descriptor);
    // nothing is computed: what is read shall be zeros, not what the memory held
    made.getMappedRange = () => new ArrayBuffer(made.size);
    return made;
  };
  if (!profile.limits) return overlay(native, { createShaderModule, createBuffer });
  const nothing = new Proxy({}, { get: () => () => nothing });
  const createComputePipeline = ({ label, compute }: GPUComputePipelineDescriptor): unknown => {
    native.pushErrorScope("validation");
    native.createComputePipeline({ label: label!, layout: "auto", compute });
    pending.push(native.popErrorScope().then((error) => refusalsOf(error, profile.limits!)));
    return nothing;
  };
  const standIns = ["createBindGroupLayout", "createPipelineLayout", "createBindGroup", "createCommandEncoder"];
  return overlay(native, {
    createShaderModule,
    createBuffer,
    createComputePipeline,
    limits: overlay(native.limits, profile.limits),
    queue: overlay(native.queue, { submit: () => {} }),
    ...Object.fromEntries(standIns.map((name) => [name, () => nothing])),
  });
}

/** How the validator complains of limits. */
const complaints: readonly [RegExp, string][] = [
  [/total use of workgroup storage \((\d+) bytes\) is larger/, "maxComputeWorkgroupStorageSize"],
  [/total number of workgroup invocations \((\d+)\) exceeds/, "maxComputeInvocationsPerWorkgroup"],
  [/number of storage buffers \((\d+)\)/, "maxStorageBuffersPerShaderStage"],
];

/** What is wrong with a pipeline besides needing more than the validator has but the profile claims. */
function refusalsOf(error: GPUError | null, limits: Readonly<Record<string, number>>): string[] {
  if (!error) return [];
  const isAllowed = complaints.some(([pattern, limit]) => {
    const [, needed] = pattern.exec(error.message) ?? [];
    return needed !== undefined && Number(needed) <= limits[limit]!;
  });
  return isAllowed ? [] : [error.message];
}

function overlay<T extends object>(real: T, changes: Readonly<Record<string, unknown>>): T {
  return new Proxy(real, {
    get(target, name) {
      if (typeof name === "string" && name in changes) return changes[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}
