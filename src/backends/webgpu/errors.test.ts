import { afterEach, describe, expect, it, vi } from "vitest";
import { tapAdapter } from "../../../test/kit/tapped-adapter.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { openDevice } from "../../ops/devices.ts";
import { add, mul } from "../../ops/elementwise/index.ts";
import { linear } from "../../ops/linear/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import { DeviceError, OutOfMemoryError } from "../../tensor/errors.ts";
import { type Tensor, tensor, zeros } from "../../tensor/tensor.ts";
import type { WebgpuBackend, WebgpuKernel } from "./index.ts";
import type { Program } from "./program.ts";

const program = (name: string, body: string): Program => ({
  name,
  bindings: [{ name: "out", type: "f32", write: true }],
  params: [],
  body,
});

/** Runs one program for an op that is called `op`. */
function run(x: Tensor, op: string, made: Program, bound: readonly Tensor[] = [x]): void {
  const kernel: WebgpuKernel = (context) => context.dispatch(made, bound, {}, 1);
  (x.device as WebgpuBackend).launch(kernel, { op, inputs: { x }, outputs: {}, params: {}, axes: {} });
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("a device that refuses", () => {
  it("names op and program of a shader that does not compile, every time, and goes on", async () => {
    const device = await openDevice("webgpu", { adapter: (await tapAdapter()).adapter });
    const x = tensor([1, 2], [2], { device });
    const before = device.memory();
    const wrong = program("wrong shader", "out[index] = 1u;");
    for (let time = 0; time < 2; time++) {
      run(x, "double", wrong);
      const refused = expect(x.read()).rejects;
      await refused.toBeInstanceOf(DeviceError);
      await refused.toMatchObject({
        message: expect.stringMatching(
          /^double on webgpu: the device must take program "wrong shader"; it refused; .+/s,
        ),
        facts: { op: "double", program: "wrong shader" },
      });
    }
    expect(Array.from(await x.read())).toEqual([1, 2]);
    expect(await sum(x).item()).toBe(3);
    expect(device.memory().used - before.used).toBeLessThanOrEqual(256);
    device.dispose();
  });

  it("names op and program of a dispatch that is not valid", async () => {
    const device = await openDevice("webgpu", { adapter: (await tapAdapter()).adapter });
    const x = tensor([1, 2], [2], { device });
    run(x, "triple", program("needs one", "if (index < 2u) { out[index] *= 3.0; }"));
    expect(Array.from(await x.read())).toEqual([3, 6]);
    run(x, "triple", program("needs one, gets two", "if (index < 2u) { out[index] *= 3.0; }"), [x, x]);
    await expect(x.read()).rejects.toMatchObject({
      code: "DEVICE",
      message: expect.stringMatching(/^triple on webgpu: .*needs one, gets two/s),
    });
    device.dispose();
  });

  it("says what was asked for and what is in use when memory runs out, and gives back what it kept", async () => {
    const { adapter, native } = await tapAdapter();
    const device = await openDevice("webgpu", { adapter });
    zeros([1 << 16], { device }).dispose();
    const kept = tensor([1, 2], [2], { device });
    const before = device.memory();
    // no driver here runs out of memory in time; a GPU does it this way
    const outOfMemory = { message: "out of memory", constructor: { name: "GPUOutOfMemoryError" } };
    vi.spyOn(native(), "popErrorScope").mockResolvedValueOnce(outOfMemory as unknown as GPUError);
    const large = zeros([1 << 20], { device });
    const refused = expect(large.read()).rejects;
    await refused.toBeInstanceOf(OutOfMemoryError);
    await refused.toMatchObject({
      message: expect.stringMatching(/room for 4194304 bytes; \d+ bytes are in use/),
      facts: { byteLength: 4194304, used: before.used + 4194304 },
    });
    large.dispose();
    expect(device.memory()).toMatchObject({ used: before.used, buffers: before.buffers });
    const created = vi.spyOn(native(), "createBuffer");
    const again = zeros([1 << 20], { device });
    const kept64 = zeros([1 << 16], { device });
    expect(Array.from((await again.read()).subarray(0, 2))).toEqual([0, 0]);
    expect(created.mock.calls.map(([{ size }]) => size)).toEqual(expect.arrayContaining([4194304, 262144]));
    expect(Array.from(await mul(kept, 2).read())).toEqual([2, 4]);
    kept64.dispose();
    device.dispose();
  });

  it("gives back outputs of an op that has no room for its scratch", async () => {
    const device = await openDevice("webgpu", { adapter: (await tapAdapter()).adapter });
    const x = zeros([64, 64], { device });
    const before = device.memory();
    const { kernels } = device as WebgpuBackend;
    const greedy: WebgpuKernel = (context) => {
      context.scratch(1024);
      context.scratch(device.limits.maxBufferBytes + 1);
    };
    const own = kernels as Record<string, unknown>;
    const known = own["linear"];
    own["linear"] = greedy;
    try {
      expect(() => linear(x, x)).toThrow(OutOfMemoryError);
    } finally {
      own["linear"] = known;
    }
    expect(device.memory()).toMatchObject({ used: before.used, buffers: before.buffers });
    device.dispose();
  });
});

describe("a device that is lost", () => {
  it("rejects the read of the step under way, says so, and another can be opened", async () => {
    const { adapter, native } = await tapAdapter();
    const device = await openDevice("webgpu", { adapter });
    const weight = tensor([1, 2, 3, 4], [2, 2], { device });
    const x = tensor([1, 1], [1, 2], { device });
    const { value, gradients } = valueAndGrad(() => sum(linear(x, weight)), { weight });
    const pending = [value.read(), gradients.weight.read()];
    native().destroy();
    for (const one of await Promise.allSettled(pending)) {
      expect(one).toMatchObject({ status: "rejected", reason: { code: "DEVICE" } });
    }
    const lost = await device.lost;
    expect(lost).toBeInstanceOf(DeviceError);
    expect(lost.message).toMatch(/^webgpu: the device was lost .* open another and load the model again$/);
    expect(() => add(x, x)).toThrow(lost);
    expect(() => device.flush()).toThrow(lost);
    await expect(x.read()).rejects.toBe(lost);
    for (const one of [value, gradients.weight, weight, x]) one.dispose();
    expect(device.memory()).toMatchObject({ used: 0, buffers: 0 });
    device.dispose();

    const next = await openDevice("webgpu", { adapter: (await tapAdapter()).adapter });
    expect(await sum(tensor([1, 2], [2], { device: next })).item()).toBe(3);
    next.dispose();
  });

  it("says that it was disposed where its owner did that", async () => {
    const device = await openDevice("webgpu", { adapter: (await tapAdapter()).adapter });
    const x = tensor([1], [1], { device });
    device.dispose();
    await device.lost;
    expect(() => add(x, x)).toThrow(/must be open; it was disposed/);
  });
});

describe("device auto", () => {
  const info = { vendor: "nvidia", architecture: "", device: "", description: "some card" };

  it("is webgpu where there is a card", async () => {
    vi.stubEnv("MAMBA_NO_GPU", "");
    const { adapter } = await tapAdapter({ info });
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => adapter } });
    const device = await openDevice("auto");
    expect([device.name, device.description]).toEqual(["webgpu", "some card"]);
    device.dispose();
  });

  it.each([
    ["none", undefined],
    // the adapter of the tests, unless they run on a card
    [
      "SwiftShader",
      process.env["MAMBA_TEST_GPU"] === "system" ? { info: { ...info, description: "SwiftShader" } } : {},
    ],
    ["a fallback adapter", { info: { ...info, isFallbackAdapter: true } }],
    ["llvmpipe", { info: { ...info, vendor: "mesa", description: "llvmpipe (LLVM 15.0.6, 256 bits)" } }],
    ["a card that opens no device", { info, requestDevice: () => Promise.reject(new TypeError("busy")) }],
  ])("is wasm where there is %s", async (_, changes) => {
    vi.stubEnv("MAMBA_NO_GPU", "");
    const adapter = changes ? (await tapAdapter(changes)).adapter : null;
    const requestAdapter = vi.fn(async () => adapter);
    vi.stubGlobal("navigator", { gpu: { requestAdapter } });
    const device = await openDevice("auto", { threads: 0 });
    expect(device.name).toBe("wasm");
    expect(requestAdapter).toHaveBeenCalledTimes(1);
    device.dispose();
  });
});

describe("a device that cannot be had", () => {
  it("takes no tensor of another device", async () => {
    const [one, other] = [await openDevice("webgpu"), await openDevice("webgpu")];
    const [x, y] = [tensor([1], [1], { device: one }), tensor([1], [1], { device: other })];
    const before = one.memory();
    expect(() => add(x, y)).toThrow(/add: all inputs must live on one device; .* on another webgpu; move one/);
    expect(() => add(x, y)).toThrow(DeviceError);
    expect(one.memory()).toEqual(before);
    one.dispose();
    other.dispose();
  });

  it("says what to do where there is no adapter", async () => {
    vi.stubGlobal("navigator", { gpu: { requestAdapter: async () => null } });
    const opened = expect(openDevice("webgpu")).rejects;
    await opened.toBeInstanceOf(DeviceError);
    await opened.toThrow(/^webgpu: there must be an adapter; .* install a graphics driver .* or use wasm$/);
  });

  it("names the limit that an adapter lacks", async () => {
    const { adapter } = await tapAdapter();
    const limits = new Proxy(adapter.limits, {
      get: (real, name) => (name === "maxStorageBuffersPerShaderStage" ? 4 : Reflect.get(real, name, real)),
    });
    const poor = (await tapAdapter({ limits })).adapter;
    const opened = expect(openDevice("webgpu", { adapter: poor })).rejects;
    await opened.toBeInstanceOf(DeviceError);
    await opened.toMatchObject({
      message: expect.stringMatching(/must have maxStorageBuffersPerShaderStage of at least 8; .* has 4; /),
      facts: { limit: "maxStorageBuffersPerShaderStage", expected: 8, actual: 4 },
    });
  });

  it("passes on why an adapter gives no device", async () => {
    const requestDevice = async (): Promise<never> => {
      throw new TypeError("feature not supported");
    };
    const { adapter } = await tapAdapter({ requestDevice });
    const opened = expect(openDevice("webgpu", { adapter })).rejects;
    await opened.toBeInstanceOf(DeviceError);
    await opened.toThrow(/^webgpu: the adapter must give a device; feature not supported; try another adapter$/);
  });
});
