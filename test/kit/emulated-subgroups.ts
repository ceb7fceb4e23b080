import {
  openWebgpu,
  type Program,
  programNamed,
  type WebgpuKernel,
  type WebgpuKernelContext,
} from "../../src/backends/webgpu/index.ts";
import { webgpuKernels } from "../../src/ops/kernels/webgpu.ts";
import type { Device } from "../../src/tensor/device.ts";
import { useSoftwareGpu } from "./software-gpu.ts";

/** The same program with exchanges through memory of the workgroup, for subgroups of any size. */
function emulated(program: Program, size: number): Program {
  if (!program.requires?.includes("subgroups")) return program;
  return programNamed(`${program.name} in emulated subgroups of ${size}`, () => ({
    ...program,
    requires: program.requires!.filter((extension) => extension !== "subgroups"),
    declarations: `${program.declarations ?? ""}
var<private> emulatedLane: u32;
var<workgroup> exchanged: array<f32, ${program.workgroup ?? 64}>;
fn subgroupShuffle(value: f32, id: u32) -> f32 {
  exchanged[emulatedLane] = value;
  workgroupBarrier();
  let other = exchanged[emulatedLane / ${size}u * ${size}u + id];
  workgroupBarrier();
  return other;
}
fn subgroupShuffleXor(value: f32, mask: u32) -> f32 {
  return subgroupShuffle(value, (emulatedLane % ${size}u) ^ mask);
}`,
    body: `emulatedLane = lane;\n${program.body}`,
  }));
}

/** What kernels are told that a binding may have at most, for those that cut their scratch by it; undefined for what it may. */
export interface ToldLimits {
  bindingBytes: number | undefined;
}

function emulating(context: WebgpuKernelContext, size: number, { bindingBytes }: ToldLimits): WebgpuKernelContext {
  const limits = new Proxy(context.limits, {
    get: (own, name) =>
      name === "maxStorageBufferBindingSize" ? (bindingBytes ?? own[name]) : Reflect.get(own, name, own),
  });
  return {
    features: context.features,
    limits,
    subgroupSize: size,
    hasMatrixCores: false,
    precision: context.precision,
    hasLarge: context.hasLarge,
    positions: context.positions,
    window: (...given) => context.window(...given),
    within: (work) => context.within(work),
    scratch: (bytes) => context.scratch(bytes),
    copy: (...given) => context.copy(...given),
    upload: (data) => context.upload(data),
    failure: (...given) => context.failure(...given),
    dispatch: (program, ...given) => context.dispatch(emulated(program, size), ...given),
  };
}

const opened = new Map<number, Promise<{ device: Device; told: ToldLimits }>>();

/**
 * The software device with subgroups of another size than its own four lanes, as cards have them: programs that exchange values with
 * `subgroupShuffle` and `subgroupShuffleXor` do so through memory of the workgroup. One for all tests of a process.
 *
 * @returns the device, and what its kernels are told from now on
 */
export function emulatedSubgroups(size: number): Promise<{ device: Device; told: ToldLimits }> {
  const known = opened.get(size) ?? openEmulated(size);
  opened.set(size, known);
  return known;
}

async function openEmulated(size: number): Promise<{ device: Device; told: ToldLimits }> {
  await useSoftwareGpu();
  const told: ToldLimits = { bindingBytes: undefined };
  const kernels = Object.entries(webgpuKernels).map(([name, kernel]) => {
    if (typeof kernel !== "function") return [name, kernel];
    const own: WebgpuKernel = (context, call) => (kernel as WebgpuKernel)(emulating(context, size, told), call);
    return [name, own];
  });
  return { device: await openWebgpu({}, Object.fromEntries(kernels)), told };
}
