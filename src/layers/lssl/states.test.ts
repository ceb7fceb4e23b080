import { describe, expect, it } from "vitest";
import { fastBackends, maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { concat, slice } from "../../ops/movement/index.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import type { LsslInitialisation } from "./initialise.ts";
import { LsslLayer } from "./lssl-layer.ts";

const config = { dModel: 3, dState: 6 };

async function layerOf(start: LsslInitialisation, name: DeviceName = "reference", more: object = {}) {
  const device = await sharedDevice(name);
  const dtype = name === "reference" ? ("float64" as const) : ("float32" as const);
  const random = new Random(4);
  const layer = LsslLayer.create({ ...config, ...more }, start, { device, dtype, random });
  const input = (batch: number, length: number): Tensor =>
    tensor(random.normals(batch * length * config.dModel), [batch, length, config.dModel], { device, dtype });
  return { layer, input, device, dtype };
}

const part = (x: Tensor, start: number, end: number): Tensor => slice(x, { axis: 1, start, end });

for (const name of ["reference", ...fastBackends.filter((one) => one === "wasm")] as DeviceName[]) {
  const tolerance = name === "reference" ? 1e-11 : 1e-5;

  describe(`LsslLayer on ${name}`, () => {
    it("goes on from a state wherever a sequence is cut, also with nothing on one side", async () => {
      const { layer, input } = await layerOf({ channels: 2, perFeature: true }, name);
      const u = input(2, 13);
      const whole = layer.run(u);
      for (const cut of [0, 1, 5, 12, 13]) {
        const first = layer.run(part(u, 0, cut));
        const second = layer.run(part(u, cut, 13), { state: first.state });
        expect(maxError(await concat([first.y, second.y], 1).read(), await whole.y.read())).toBeLessThan(tolerance);
        expect(maxError(await second.state.read(), await whole.state.read())).toBeLessThan(tolerance);
      }
    });

    for (const measure of ["legs", "legt"] as const) {
      it(`${measure}: given times that are equally spaced, gives what the convolution gives`, async () => {
        const { layer, input, device, dtype } = await layerOf({ measure, channels: 2 }, name);
        const u = input(2, 9);
        const stamps = [
          Float64Array.from({ length: 9 }, (_, i) => 1e9 + 2 * i),
          Array.from({ length: 9 }, (_, i) => 2 * i),
        ];
        const { state } = layer.run(input(2, 4), { rate: 2 });
        const expected = layer.run(u, { rate: 2, state });
        const deltas = tensor(new Float64Array(18).fill(2), [2, 9], { device, dtype });
        for (const times of [{ timeStamps: stamps }, { deltas }]) {
          const made = layer.run(u, { ...times, state });
          expect(maxError(await made.y.read(), await expected.y.read())).toBeLessThan(tolerance);
          expect(maxError(await made.state.read(), await expected.state.read())).toBeLessThan(tolerance);
        }
      });
    }
  });
}

describe("LsslLayer", () => {
  it("takes Euler's rules too, in both modes", async () => {
    for (const alpha of [0, 1]) {
      const { layer, input } = await layerOf({ dtMax: 0.01 }, "reference", { alpha });
      const u = input(1, 7);
      const stamps = [[0, 1, 2, 3, 4, 5, 6]];
      const expected = await layer.forward(u).read();
      expect(maxError(await layer.forward(u, { timeStamps: stamps }).read(), expected)).toBeLessThan(1e-11);
    }
  });

  it("gives nothing for nothing, and the first output for one sample", async () => {
    const { layer, input } = await layerOf({});
    expect(layer.forward(input(2, 0)).shape).toEqual([2, 0, 3]);
    const u = input(2, 5);
    const whole = await part(layer.forward(u), 0, 1).read();
    expect(maxError(await layer.forward(part(u, 0, 1)).read(), whole)).toBeLessThan(1e-12);
  });

  it("refuses times that go back, and times of other samples", async () => {
    const { layer, input } = await layerOf({});
    const u = input(1, 3);
    expect(() => layer.forward(u, { timeStamps: [[0, 2, 1]] })).toThrow(
      "LsslLayer: timeStamps must be numbers that do not decrease along a row; got 2 before 1 at sample 2 of row 0",
    );
    expect(() => layer.forward(u, { timeStamps: [[0, Number.NaN, 1]] })).toThrow("got 0 before NaN at sample 1");
    expect(() => layer.forward(u, { timeStamps: [[0, 1]] })).toThrow("timeStamps must be 1 rows of 3; got rows of 2");
    expect(() => layer.forward(u, { timeStamps: [[0, 1, 2]], previousTimes: [3] })).toThrow("got 3 before 0");
  });
});
