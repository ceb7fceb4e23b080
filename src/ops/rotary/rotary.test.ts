import { describe, expect, it } from "vitest";
import { fastBackends, type OpCase, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { mul } from "../elementwise/index.ts";
import { slice } from "../movement/index.ts";
import { sum } from "../reduce/index.ts";
import { rotary } from "./index.ts";
import { rotaryOp } from "./operations.ts";

const sizes = (batch: number, length: number, heads: number, width: number, offset = 0, base = 10_000): OpCase => ({
  axes: { batch, length, heads, width },
  params: { offset, base, inverse: false },
});

testOp(rotaryOp, {
  cases: [
    sizes(1, 1, 1, 2),
    sizes(2, 5, 3, 4),
    sizes(1, 3, 1, 6, 7),
    sizes(1, 7, 2, 10, 0, 500_000),
    sizes(2, 9, 2, 16, 100),
    sizes(1, 4, 2, 64, 1_000_000),
    { ...sizes(1, 3, 1, 8, 4_000_000_000, 1e6), tolerance: 1e-5 },
    { ...sizes(2, 3, 1, 8, 5), params: { offset: 5, base: 100, inverse: true } },
  ],
});

const filled = (device: Device, shape: readonly number[], seed: number): Tensor => {
  const size = shape.reduce((product, axis) => product * axis, 1);
  const values = Float64Array.from(new Random(seed).normals(size), Math.fround);
  return tensor(values, shape, { device, dtype: device.name === "reference" ? "float64" : "float32" });
};

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`rotary on ${name}`, async () => {
    const device = await sharedDevice(name);
    const near = name === "reference" ? 1e-12 : 2e-6;

    it("turns the pair (i, i + width / 2) by position x base^(-2 i / width)", async () => {
      // base 4 / 9 with width 4 turns the second pair 3 / 2 times as fast as the first
      const x = tensor([1, 0, 0, 1], [1, 1, 1, 4], { device, dtype: name === "reference" ? "float64" : "float32" });
      const y = await rotary(x, { offset: 2, base: 4 / 9 }).read();
      [Math.cos(2), -Math.sin(3), Math.sin(2), Math.cos(3)].forEach((expected, i) => {
        expect(Math.abs(y[i]! - expected)).toBeLessThan(near);
      });
    });

    it("leaves position 0 as it is", async () => {
      const x = filled(device, [2, 1, 3, 6], 1);
      expect(await rotary(x).read()).toEqual(await x.read());
    });

    it("makes products depend on the distance of positions alone, far out as well", async () => {
      const [q, k] = [filled(device, [1, 1, 1, 32], 2), filled(device, [1, 1, 1, 32], 3)];
      const product = (at: number) => sum(mul(rotary(q, { offset: at + 5 }), rotary(k, { offset: at }))).item();
      const expected = await product(0);
      for (const at of [1, 1000, 65_536, 10_000_000]) {
        expect(Math.abs((await product(at)) - expected)).toBeLessThan(name === "reference" ? 1e-6 : 2e-5);
      }
    });

    it("gives any split of a sequence what it gives at once, and reads slices as they lie", async () => {
      const packed = filled(device, [2, 7, 3, 24], 4);
      const x = slice(packed, { axis: 3, start: 8, end: 16 });
      const whole = await rotary(x, { offset: 11 }).read();
      const tail = await rotary(slice(x, { axis: 1, start: 4 }), { offset: 15 }).read();
      const rows = 3 * 8;
      expect([...tail]).toEqual([0, 7].flatMap((row) => [...whole.slice((row + 4) * rows, (row + 7) * rows)]));
    });

    it("refuses odd widths, and positions and bases that cannot be", () => {
      const x = filled(device, [1, 1, 1, 4], 5);
      expect(() => rotary(filled(device, [1, 1, 1, 3], 5))).toThrow(/width of a head must be even; got 3/);
      expect(() => rotary(filled(device, [1, 1, 4], 5))).toThrow(/rotary/);
      for (const offset of [-1, 0.5, Number.NaN]) expect(() => rotary(x, { offset })).toThrow(/offset must be/);
      for (const base of [0, -2, Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(() => rotary(x, { base })).toThrow(/base must be positive and finite/);
      }
    });
  });
}

it.runIf(fastBackends.includes("wasm"))("rotary gives the same bits for any number of threads", async () => {
  let first: unknown;
  for (const threads of [0, 1, 2, 3]) {
    using device = await openDevice("wasm", { threads });
    const leaves = { x: filled(device, [2, 13, 3, 12], 6) };
    const weights = filled(device, [2, 13, 3, 12], 7);
    const { value, gradients } = valueAndGrad(({ x }) => sum(mul(rotary(x, { offset: 99 }), weights)), leaves);
    const made = [await value.read(), await gradients.x.read()];
    first ??= made;
    expect(made, `${threads} threads`).toEqual(first);
  }
});
