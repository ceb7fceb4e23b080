import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { useSoftwareGpu } from "../../../test/kit/software-gpu.ts";
import { openDevice } from "../../ops/devices.ts";
import { add, mul } from "../../ops/elementwise/index.ts";
import { embedding } from "../../ops/embedding/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import { stateUpdate } from "../../ops/state-update/index.ts";
import type { Device } from "../../tensor/device.ts";
import { scope } from "../../tensor/scope.ts";
import { backendOf, tensor, writeTensor } from "../../tensor/tensor.ts";
import { sizeClass } from "./buffer-pool.ts";
import { openWebgpu } from "./index.ts";
import { gridOf } from "./program.ts";

describe("the WebGPU backend", () => {
  let device: Device;
  beforeAll(async () => {
    await useSoftwareGpu();
    device = await openDevice("webgpu");
  });
  afterAll(() => device.dispose());

  it("keeps the order of what the host writes and what it enqueues", async () => {
    const x = tensor([1, 2, 3], [3], { device });
    const once = mul(x, 10);
    writeTensor(x, Float32Array.of(4, 5, 6));
    const twice = mul(x, 10);
    // a buffer that was given back is written while commands that read it are still to come
    const sums = [0, 1, 2].map((i) => {
      const own = tensor(new Float32Array(3).fill(i + 1), [3], { device });
      const made = add(x, own);
      own.dispose();
      return made;
    });
    expect(Array.from(await once.read())).toEqual([10, 20, 30]);
    expect(Array.from(await twice.read())).toEqual([40, 50, 60]);
    const read = await Promise.all(sums.map(async (one) => Array.from(await one.read())));
    expect(read).toEqual([1, 2, 3].map((k) => [4 + k, 5 + k, 6 + k]));
  });

  it("reads and writes any number of bytes at any place", async () => {
    const bytes = tensor(Uint8Array.of(1, 2, 3, 4, 5, 6, 7), [7], { device });
    expect(Array.from(await bytes.read())).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect((await tensor(new Float32Array(0), [0], { device }).read()).length).toBe(0);
  });

  it("runs more dispatches than a batch holds, and takes no memory that it does not give back", async () => {
    const before = device.memory();
    const total = scope(() => {
      let x = tensor([1], [1], { device });
      for (let i = 0; i < 1000; i++) x = add(x, 1);
      return x;
    });
    expect(await total.item()).toBe(1001);
    total.dispose();
    const { used, buffers } = device.memory();
    expect([used, buffers]).toEqual([before.used, before.buffers]);
  });

  it("says which id is out of range, once", async () => {
    const table = tensor([1, 2, 3, 4], [2, 2], { device });
    const y = embedding(table, tensor(Int32Array.of(0, 1, 7, 9), [4], { device }));
    await expect(y.read()).rejects.toMatchObject({
      code: "ID_OUT_OF_RANGE",
      message: expect.stringMatching(/embedding: ids must be in 0 to 1; got [79] at position [23]/),
    });
    expect(await sum(table).item()).toBe(10);
  });

  it("refuses a tensor that no buffer holds, and says what is in use", () => {
    expect(() => tensor(new Float32Array(1), [device.limits.maxBufferBytes], { device })).toThrow(/must have/);
  });

  it("enqueues a call like one before on the buffers that are its own", async () => {
    const calls = [0, 1, 2].map((call) => {
      const x = tensor(new Float32Array(300).fill(call + 1), [3, 100], { device });
      // the same shapes, but one buffer in two places
      return { sums: sum(x, { axis: 1 }), square: mul(x, x), product: mul(x, add(x, 0)) };
    });
    for (const [call, { sums, square, product }] of calls.entries()) {
      const value = call + 1;
      expect(Array.from(await sums.read())).toEqual([100 * value, 100 * value, 100 * value]);
      expect(new Set(await square.read())).toEqual(new Set([value * value]));
      expect(new Set(await product.read())).toEqual(new Set([value * value]));
    }
    for (let i = 0; i < 2; i++) {
      const made = embedding(tensor([1, 2], [2, 1], { device }), tensor(Int32Array.of(i + 5), [1], { device }));
      await expect(made.read(), `call ${i}`).rejects.toThrow(`got ${i + 5} at position 0`);
    }
  });

  it("tells what kernels took, by op and program", async () => {
    const x = tensor([1, 2, 3], [3], { device });
    const times = await device.profile!(() => [mul(x, 2), mul(x, 3), sum(x)]);
    expect(times.find(({ op }) => op === "mul")).toMatchObject({ program: expect.stringContaining("mul"), count: 2 });
    for (const { milliseconds } of times) expect(milliseconds).toBeGreaterThan(0);
    const sorted = times.map(({ milliseconds }) => milliseconds).sort((a, b) => b - a);
    expect(times.map(({ milliseconds }) => milliseconds)).toEqual(sorted);
    expect(await sum(mul(x, 2)).item()).toBe(12);
  });

  it("replays what was recorded, on buffers that nobody else is given meanwhile", async () => {
    const before = device.memory();
    const backend = backendOf(device);
    const one = (value: number, rank: number) => tensor([value], new Array(rank).fill(1), { device });
    const [h, u, delta, A, B, C] = [one(1, 3), one(3, 2), one(1, 2), one(0, 2), one(1, 2), one(1, 2)];
    const two = tensor([2], [1], { device });
    // h += 3, and what comes of it through scratch
    const recorded = backend.record!(() =>
      scope(() => mul(add(stateUpdate(h, u, delta, A, B, C, { inPlace: true }).y, two), two)),
    );
    expect(await h.item()).toBe(1);
    for (const expected of [4, 7, 10]) {
      recorded.replay();
      // takes whatever buffers of this size are free
      const others = [1, 2, 3, 4].map((x) => tensor([x], [1], { device }));
      for (const other of others) other.dispose();
      expect(await h.item()).toBe(expected);
    }
    recorded.replay();
    recorded.replay();
    expect(await recorded.result.item()).toBe(36);
    for (const tensor of [h, u, delta, A, B, C, two]) tensor.dispose();
    recorded.result.dispose();
    recorded.dispose();
    recorded.dispose();
    const { used, buffers } = device.memory();
    expect([used, buffers]).toEqual([before.used, before.buffers]);
  });

  it("records no traffic with the host, and goes on after work that throws", async () => {
    const backend = backendOf(device);
    expect(() => backend.record!(() => tensor([1], [1], { device }))).toThrowErrorMatchingInlineSnapshot(
      `[DeviceError: record: work must not move bytes between host and device; it did; make its tensors before, and read them after a replay]`,
    );
    expect(await sum(tensor([1, 2], [2], { device })).item()).toBe(3);
  });

  it("works with the limits and features that every device has", async () => {
    const plain = await openWebgpu({ plainGpu: true }, (device as unknown as { kernels: object }).kernels as never);
    expect([...plain.features].filter((name) => name === "shader-f16" || name === "subgroups")).toEqual([]);
    expect(await sum(tensor([1, 2, 3], [3], { device: plain })).item()).toBe(6);
    plain.dispose();
    expect(() => tensor([1], [1], { device: plain })).toThrow(/must be open/);
  });
});

describe("sizes", () => {
  it("wastes less than a fifth of a buffer, and has few of them", () => {
    const classes = new Set<number>();
    for (let bytes = 257; bytes < 1e6; bytes += 997) {
      const size = sizeClass(bytes);
      classes.add(size);
      expect(size).toBeGreaterThanOrEqual(bytes);
      expect((size - bytes) / size).toBeLessThan(0.2);
      expect(size % 4).toBe(0);
    }
    expect(classes.size).toBeLessThan(60);
  });

  it("spreads many workgroups over two axes", () => {
    for (const groups of [1, 65535, 65536, 1e6, 12_345_678]) {
      const [x, y] = gridOf(groups);
      expect(Math.max(x, y)).toBeLessThanOrEqual(65535);
      expect(x * y).toBeGreaterThanOrEqual(groups);
      expect(x * y - groups).toBeLessThan(y);
    }
  });
});
