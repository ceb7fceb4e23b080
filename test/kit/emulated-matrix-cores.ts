import { openGpu } from "#platform";
import { openDevice } from "../../src/ops/devices.ts";
import type { Device } from "../../src/tensor/device.ts";

/** What a device needs before products are multiplied on matrix cores. */
const emulated = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"];

/** Elements and element of a slice, by how it is declared. */
function elementCode(name: "a" | "b", code: string): string {
  const words = code.includes(`${name}Slice: array<array<vec4<u32>`) ? 4 : 2;
  return `
fn ${name}Element(share: u32, at: u32) -> f32 {
  return unpack2x16float(${name}Slice[share][at / ${2 * words}u][at % ${2 * words}u / 2u])[at % 2u];
}
fn ${name}At(f: Fragment, row: u32, column: u32) -> f32 {
  let major = select(row, column, f.isColumnMajor);
  let minor = select(column, row, f.isColumnMajor);
  return ${name}Element(f.share, (f.offset + major * f.stride) * ${2 * words}u + minor);
}`;
}

/** Each of 32 threads has eight neighbours of a row of a fragment of 16 x 16. */
const fragmentCode = (code: string): string => `
struct Fragment { share: u32, offset: u32, stride: u32, isColumnMajor: bool }
alias Sum = array<f32, 8>;
${elementCode("a", code)}
${elementCode("b", code)}
fn rowOf(lane: u32) -> u32 { return lane % 32u / 2u; }
fn columnOf(lane: u32) -> u32 { return lane % 2u * 8u; }
fn multiplied(lane: u32, left: Fragment, right: Fragment, given: Sum) -> Sum {
  var sum = given;
  for (var e = 0u; e < 8u; e++) {
    for (var k = 0u; k < 16u; k++) { sum[e] += aAt(left, rowOf(lane), k) * bAt(right, k, columnOf(lane) + e); }
  }
  return sum;
}
fn loaded(lane: u32, at: u32, stride: u32) -> Sum {
  var sum: Sum;
  for (var e = 0u; e < 8u; e++) { sum[e] = out[at + rowOf(lane) * stride + columnOf(lane) + e]; }
  return sum;
}
fn stored(lane: u32, at: u32, sum: Sum, stride: u32) {
  for (var e = 0u; e < 8u; e++) { out[at + rowOf(lane) * stride + columnOf(lane) + e] = sum[e]; }
}
${
  code.includes("&edge")
    ? `fn storedEdge(lane: u32, at: u32, sum: Sum, stride: u32, part: u32) {
  for (var e = 0u; e < 8u; e++) { edge[part][at + rowOf(lane) * stride + columnOf(lane) + e] = sum[e]; }
}`
    : ""
}`;

/** Exchanges among 32 threads, by way of workgroup memory. */
function exchangeCode(code: string): string {
  const threads = /@workgroup_size\((\d+)\)/.exec(code)![1];
  return `
var<workgroup> exchanged: array<f32, ${threads}>;
fn shuffledXor(lane: u32, value: f32, mask: u32) -> f32 {
  exchanged[lane] = value;
  workgroupBarrier();
  let other = exchanged[lane ^ mask];
  workgroupBarrier();
  return other;
}
fn added(lane: u32, value: f32) -> f32 {
  var sum = value;
  for (var mask = 1u; mask < 32u; mask *= 2u) { sum += shuffledXor(lane, sum, mask); }
  return sum;
}`;
}

/** The same shader without float16, subgroups and matrix cores. */
function emulate(given: string): string {
  const isExchanging = /subgroup(?:ShuffleXor|Add)\(/.test(given);
  const code = given
    .split("\n")
    .filter((line) => !line.startsWith("enable ") && !line.startsWith("diagnostic("))
    .join("\n")
    .replaceAll(/bitcast<vec2<u32>>\(vec4<f16>\((\w+)\)\)/g, "vec2<u32>(pack2x16float($1.xy), pack2x16float($1.zw))")
    .replaceAll("subgroupShuffleXor(", "shuffledXor(lane, ")
    .replaceAll("subgroupAdd(", "added(lane, ")
    .concat(isExchanging ? exchangeCode(given) : "");
  if (!given.includes("subgroup_matrix")) return code;
  const load =
    /subgroupMatrixLoad<subgroup_matrix_(?:left|right)<f16, 16, 16>, (row|col)_major>\(&[ab]Slice\[(\w+)\], (\d+u), (\d+u)\)/g;
  return (
    code
      .replaceAll(
        load,
        (_, major, share, offset, stride) => `Fragment(${share}, ${offset}, ${stride}, ${major === "col"})`,
      )
      .replaceAll("subgroupMatrixLoad<subgroup_matrix_result<f32, 16, 16>, row_major>(&out, ", "loaded(lane, ")
      .replaceAll("subgroup_matrix_result<f32, 16, 16>", "Sum")
      .replaceAll("subgroupMatrixMultiplyAccumulate(", "multiplied(lane, ")
      .replaceAll("subgroupMatrixStore<row_major>(&out, ", "stored(lane, ")
      .replaceAll(
        /subgroupMatrixStore<row_major>\(&edge\[(lane \/ 32u|\w+)\], ([^;]*)\);/g,
        (_, part, rest) => `storedEdge(lane, ${rest}, ${part});`,
      ) + fragmentCode(code)
  );
}

/** An object with some properties replaced; its methods stay those of the original. */
function overridden<T extends object>(target: T, own: Record<string, unknown>): T {
  return new Proxy(target, {
    get(_, key) {
      if (typeof key === "string" && key in own) return own[key];
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (_, key, value) => Reflect.set(target, key, value, target),
  });
}

/**
 * A WebGPU device that says it has matrix cores, whose programs for them run in plain arithmetic: it shows which elements they read,
 * multiply and write, on any machine. What the hardware makes of the same calls shows on a card only.
 */
export async function openEmulatedMatrixCores(): Promise<Device> {
  const gpu = await openGpu();
  const real = (await gpu.requestAdapter())!;
  const info = overridden(real.info, {
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    subgroupMatrixConfigs: [{ M: 16, N: 16, K: 16, componentType: "f16", resultComponentType: "f32" }],
  });
  const requestDevice = async (descriptor: GPUDeviceDescriptor): Promise<GPUDevice> => {
    const wanted = [...(descriptor.requiredFeatures ?? [])].filter((name) => !emulated.includes(name));
    const device = await real.requestDevice({ ...descriptor, requiredFeatures: wanted });
    return overridden(device, {
      features: new Set([...device.features, ...emulated]),
      createShaderModule: ({ code, ...rest }: GPUShaderModuleDescriptor) =>
        device.createShaderModule({ ...rest, code: emulate(code) }),
    });
  };
  const adapter = overridden(real, { info, features: new Set([...real.features, ...emulated]), requestDevice });
  const device = await openDevice("webgpu", { adapter });
  device.matmulPrecision = "float16";
  return device;
}
