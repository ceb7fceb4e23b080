import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { zeros } from "../../tensor/tensor.ts";
import { WasmBackend } from "./backend.ts";
import { CallerExecutor } from "./caller-executor.ts";
import type { Executor } from "./executor.ts";
import type { WasmKernel } from "./kernel.ts";
import { MessageExecutor } from "./message-executor.ts";
import { compileKernels } from "./module.ts";
import { PoolExecutor } from "./pool-executor.ts";

const executors: Record<string, () => Promise<Executor>> = {
  "the caller alone": async () => CallerExecutor.open(1, true, await compileKernels({})),
  "the caller without shared memory": async () =>
    CallerExecutor.open(1, false, await compileKernels({ unshared: true })),
  "the caller and two workers": async () => CallerExecutor.open(3, true, await compileKernels({})),
  "a pool of two workers": async () => PoolExecutor.open(2, await compileKernels({})),
  "one worker without shared memory": async () => MessageExecutor.open(await compileKernels({ unshared: true })),
};

/** Copies input x to output y. */
const copy: WasmKernel = (context, { inputs, outputs }) => {
  const [from, to] = [context.range(inputs["x"]!), context.range(outputs["y"]!)];
  context.command("copyBytes", [to[0], from[0], from[1]], { reads: [from], writes: [to] });
};

for (const [name, open] of Object.entries(executors)) {
  describe(`wasm on ${name}`, () => {
    let device: WasmBackend;
    beforeAll(async () => {
      device = new WasmBackend(await open(), { kernels: {}, features: new Set(), limit: 2 ** 32 });
    });
    afterAll(() => device.dispose());

    const send = (bytes: Uint8Array) => {
      const block = device.allocate(bytes.length);
      device.write(block, 0, bytes);
      return block;
    };

    it("gives back what was written, across growth of the memory", async () => {
      const bytes = Uint8Array.from({ length: 2 ** 22 }, (_, i) => (i * 7919) >> 5);
      const hole = device.allocate(40_000_000);
      const block = send(bytes);
      device.free(hole);
      expect(Buffer.compare(await device.read(block, 0, bytes.length), bytes)).toBe(0);
      expect(await device.read(block, 1000, 3)).toEqual(bytes.slice(1000, 1003));
      device.free(block);
    });

    it("keeps the order of commands and writes, and frees in that order", async () => {
      const [x, y] = [zeros([16], { device }), zeros([16], { device })];
      const values = (value: number) => new Uint8Array(new Float32Array(16).fill(value).buffer);
      const results = [];
      for (let i = 1; i <= 20; i++) {
        // a write after a command that reads the same bytes must not be seen by it
        device.write(x.storage.memory, 0, values(i));
        device.launch(copy, { op: "copy", inputs: { x }, outputs: { y }, params: {}, axes: {} });
        device.write(x.storage.memory, 0, values(-i));
        const again = zeros([16], { device });
        device.launch(copy, { op: "copy", inputs: { x: y }, outputs: { y: again }, params: {}, axes: {} });
        results.push(again);
      }
      for (const [i, result] of results.entries()) expect((await result.read())[15]).toBe(i + 1);
      for (const tensor of [x, y, ...results]) tensor.dispose();
      const { used, buffers } = device.memory();
      expect({ used, buffers }).toEqual({ used: 0, buffers: 0 });
    });

    it("refuses work after it was disposed", async () => {
      const other = new WasmBackend(await open(), { kernels: {}, features: new Set(), limit: 2 ** 32 });
      other.dispose();
      other.dispose();
      expect(() => other.allocate(4)).toThrow(/disposed/);
    });

    it("says so and refuses work when a command kills it", async () => {
      const other = new WasmBackend(await open(), { kernels: {}, features: new Set(), limit: 2 ** 32 });
      const crash: WasmKernel = (context) =>
        context.command("copyBytes", [2 ** 31 - 64, 65_536, 64], { reads: [], writes: [] });
      const block = other.allocate(4);
      const attempt = async () => {
        other.launch(crash, { op: "crash", inputs: {}, outputs: {}, params: {}, axes: {} });
        await other.read(block, 0, 4);
      };
      await expect(attempt()).rejects.toThrow(/device was lost/);
      expect((await other.lost).message).toMatch(/out of bounds/);
      other.dispose();
    });
  });
}
