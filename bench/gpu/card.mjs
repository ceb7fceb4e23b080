// The device that is measured, and what all measurements share.
import { add, mul, randomUniform } from "mamba.ts/ops";
import { openDevice, scope } from "mamba.ts/tensor";
import { median } from "../paired.mjs";

/**
 * A WebGPU device for measurements.
 *
 * @param unchecked - without Dawn's and the driver's checks of bounds, as no program that runs other people's shaders may be
 */
export async function openCard(unchecked) {
  if (!unchecked) return { device: await openDevice("webgpu") };
  const { create } = await import("webgpu");
  const toggles =
    "allow_unsafe_apis,vulkan_enable_f16_on_nvidia,use_vulkan_memory_model,disable_robustness,skip_validation";
  const gpu = create([`enable-dawn-features=${toggles}`, "disable-dawn-features=timestamp_quantization"]);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  // the instance has to live as long as the device
  return { device: await openDevice("webgpu", { adapter }), gpu };
}

let stream = 0;

/** Uniform between two bounds, other numbers at each call. */
export function uniform(device, shape, low = -1, high = 1) {
  return scope(() => add(mul(randomUniform(shape, { device, seed: 1, stream: stream++ }), high - low), low));
}

/** A card that has nothing to do slows its clock down, and takes a while to speed up again. */
const WARM_UP_MILLISECONDS = 300;

/** Median milliseconds of the kernels of some ops, by the card's clock. */
export async function timeKernels(device, run, runs, ops) {
  const once = async () => {
    const kernels = await device.profile(run);
    return kernels.filter(({ op }) => !ops || ops.includes(op));
  };
  const start = performance.now();
  do await once();
  while (performance.now() - start < WARM_UP_MILLISECONDS);
  const times = [];
  let kernels;
  for (let i = 0; i < runs; i++) {
    kernels = await once();
    times.push(kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0));
  }
  return { milliseconds: median(times), kernels };
}

/** Median seconds of something that ends with a read. */
export async function timeWall(run, runs, warmUps = 2) {
  for (let i = 0; i < warmUps; i++) await run();
  const times = [];
  for (let i = 0; i < runs; i++) {
    const start = performance.now();
    await run();
    times.push((performance.now() - start) / 1000);
  }
  return median(times);
}

export function printKernels(kernels, most = 12) {
  const total = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  for (const { op, program, count, milliseconds } of kernels.slice(0, most)) {
    const share = `${((100 * milliseconds) / total).toFixed(1)} %`.padStart(7);
    console.log(
      `    ${share} ${milliseconds.toFixed(3).padStart(9)} ms ${String(count).padStart(5)} x  ${op}: ${program}`,
    );
  }
  console.log(`    ${kernels.reduce((sum, { count }) => sum + count, 0)} dispatches, ${total.toFixed(3)} ms`);
}
