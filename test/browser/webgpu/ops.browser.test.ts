import { expect, it } from "vitest";
import { selectiveScanOp } from "../../../src/ops/selective-scan/operations.ts";
import { fastBackends, sharedDevice, testOp, uniform } from "../../kit/test-op.ts";

declare global {
  interface ImportMeta {
    /** Vite's: imports every file of a pattern. */
    glob(patterns: readonly string[], options: { eager: true }): Record<string, unknown>;
  }
}

// registers the tests of every op, but those that read files or take long and are of kernels, not of browsers
const files = import.meta.glob(
  [
    "../../../src/ops/*/*.test.ts",
    "!../../../src/ops/selective-scan/*.test.ts",
    "!../../../src/ops/{matmul/product,matmul/webgpu,elementwise/accuracy}.test.ts",
  ],
  { eager: true },
);

testOp(selectiveScanOp, {
  cases: [
    {
      axes: { batch: 2, length: 5, channels: 6, state: 3, groups: 2 },
      params: { deltaSoftplus: true },
      omit: ["constantB", "constantC", "segmentIds"],
      fill: { A: uniform(-2, -0.1) },
    },
  ],
});

it("runs the tests of all ops on the browser's WebGPU", async () => {
  expect(fastBackends).toEqual(["webgpu"]);
  expect(Object.keys(files).length).toBeGreaterThan(20);
  expect((await sharedDevice("webgpu")).name).toBe("webgpu");
});
