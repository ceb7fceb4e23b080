import { availableParallelism, freemem, totalmem } from "node:os";
import type { Command } from "commander";
import type { AdapterFacts } from "../../backends/webgpu/index.ts";
import { withJson } from "../options.ts";
import type { Session } from "../program.ts";
import { formatBytes } from "../progress.ts";

/** What this machine offers. */
export interface Diagnosis {
  readonly runtime: string;
  readonly platform: string;
  readonly cpus: number;
  readonly memory: { readonly total: number; readonly free: number };
  readonly wasm: WasmDiagnosis | { readonly error: string };
  readonly webgpu: AdapterFacts | { readonly error: string };
  /** What `--device auto` is here. */
  readonly auto: string;
  readonly cache: { readonly folder: string; readonly offline: boolean; readonly token: boolean };
}

/** What the wasm device offers here. */
export interface WasmDiagnosis {
  readonly threads: number;
  readonly features: readonly string[];
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  readonly memoryLimit: number;
}

/** Adds the verb `doctor`: says what this machine offers; exit 1 if no device opens. */
export function addDoctor(program: Command, session: Session): void {
  const command = program
    .command("doctor")
    .description("say what this machine offers: SIMD, threads, memory, graphics card, cache");
  withJson(command).action(async ({ json }: { json?: true }) => {
    const diagnosis = await diagnose();
    if ("error" in diagnosis.wasm) session.exitCode = 1;
    if (json) await session.writeJson(diagnosis);
    else await session.terminal.write(formatDiagnosis(diagnosis));
  });
}

async function diagnose(): Promise<Diagnosis> {
  const { hubEnvironment, openHubStore } = await import("#platform");
  const { offline, token } = hubEnvironment();
  return {
    runtime: `Node ${process.version}`,
    platform: `${process.platform} ${process.arch}`,
    cpus: availableParallelism(),
    memory: { total: totalmem(), free: freemem() },
    wasm: await diagnoseWasm(),
    webgpu: await diagnoseWebgpu(),
    auto: await diagnoseAuto(),
    cache: { folder: openHubStore().location, offline, token: token !== undefined },
  };
}

async function diagnoseWasm(): Promise<Diagnosis["wasm"]> {
  try {
    const { openDevice } = await import("../../ops/devices.ts");
    const device = await openDevice("wasm");
    const { threads, features } = device;
    const memoryLimit = device.memory().limit;
    device.dispose();
    const names = [...features].sort();
    return {
      threads,
      features: names,
      simd: features.has("simd"),
      relaxedSimd: features.has("relaxed-simd"),
      memoryLimit,
    };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

async function diagnoseWebgpu(): Promise<Diagnosis["webgpu"]> {
  try {
    const { describeAdapter } = await import("../../backends/webgpu/index.ts");
    return await describeAdapter();
  } catch (error) {
    return { error: (error as Error).message };
  }
}

async function diagnoseAuto(): Promise<string> {
  try {
    const { openDevice } = await import("../../ops/devices.ts");
    const device = await openDevice("auto");
    device.dispose();
    return device.name;
  } catch (error) {
    return `none opens: ${(error as Error).message}`;
  }
}

function webgpuRows(webgpu: Diagnosis["webgpu"]): [string, string][] {
  if ("error" in webgpu) return [["webgpu", `does not open: ${webgpu.error}`]];
  const { description, isSoftware, features, limits } = webgpu;
  return [
    ["webgpu", isSoftware ? `${description}, a program that acts as a card` : description],
    ["  features", features.join(", ") || "none that kernels use"],
    ["  largest buffer", formatBytes(limits["maxBufferSize"]!)],
    ["  largest binding", formatBytes(limits["maxStorageBufferBindingSize"]!)],
    ["  workgroup memory", formatBytes(limits["maxComputeWorkgroupStorageSize"]!)],
    ["  invocations", String(limits["maxComputeInvocationsPerWorkgroup"])],
    ["  storage buffers", String(limits["maxStorageBuffersPerShaderStage"])],
  ];
}

function formatDiagnosis({ runtime, platform, cpus, memory, wasm, webgpu, auto, cache }: Diagnosis): string {
  const yes = (value: boolean): string => (value ? "yes" : "no");
  const rows: [string, string][] = [
    ["runtime", runtime],
    ["platform", `${platform}, ${cpus} cores`],
    ["memory", `${formatBytes(memory.total)}, ${formatBytes(memory.free)} free`],
  ];
  if ("error" in wasm) rows.push(["wasm", `does not open: ${wasm.error}`]);
  else {
    rows.push(
      ["wasm", `opens, up to ${formatBytes(wasm.memoryLimit)}`],
      ["  SIMD", yes(wasm.simd)],
      ["  relaxed SIMD", yes(wasm.relaxedSimd)],
      ["  threads", String(wasm.threads)],
      ["  features", wasm.features.join(", ")],
    );
  }
  rows.push(
    ...webgpuRows(webgpu),
    ["device auto", auto],
    ["model cache", cache.folder],
    ["  offline", yes(cache.offline)],
    ["  HF_TOKEN", cache.token ? "set" : "not set"],
  );
  return rows.map(([name, value]) => `${name.padEnd(20)}${value}\n`).join("");
}
