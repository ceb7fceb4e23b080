import { describe, expect, it, vi } from "vitest";
import { WasmBackend } from "../../src/backends/wasm/backend.ts";
import { openWasm, type WasmKernel } from "../../src/backends/wasm/index.ts";
import { zeros } from "../../src/tensor/tensor.ts";

/** Copies input x to output y. */
const copy: WasmKernel = (context, { inputs, outputs }) => {
  const [from, to] = [context.range(inputs["x"]!), context.range(outputs["y"]!)];
  context.command("copyBytes", [to[0], from[0], from[1]], { reads: [from], writes: [to] });
};

describe(`wasm on a page that is${crossOriginIsolated ? "" : " not"} cross-origin isolated`, () => {
  it("computes on workers, and says aloud when memory may not be shared", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const device = (await openWasm({ threads: 2 }, {})) as WasmBackend;
    expect(device).toBeInstanceOf(WasmBackend);
    expect(device.features.has(crossOriginIsolated ? "executor-pool" : "executor-worker")).toBe(true);
    expect(device.threads).toBe(crossOriginIsolated ? 2 : 1);
    expect(warn.mock.calls.length).toBe(crossOriginIsolated ? 0 : 1);
    const [x, y] = [zeros([1000], { device }), zeros([1000], { device })];
    const values = Float32Array.from({ length: 1000 }, (_, i) => i / 7);
    device.write(x.storage.memory, 0, new Uint8Array(values.buffer));
    device.launch(copy, { op: "copy", inputs: { x }, outputs: { y }, params: {}, axes: {} });
    expect(await y.read()).toEqual(values);
    device.dispose();
    warn.mockRestore();
  });

  it("computes on the calling thread on request", async () => {
    const device = (await openWasm({ threads: 0 }, {})) as WasmBackend;
    expect(device.features.has("executor-caller")).toBe(true);
    const x = zeros([4], { device });
    expect(await x.read()).toEqual(new Float32Array(4));
    device.dispose();
  });
});
