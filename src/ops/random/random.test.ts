import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../../test/kit/test-op.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { randomUniform } from "./index.ts";

describe.each(["reference", ...fastBackends] as DeviceName[])("randomUniform on %s", (name) => {
  it.each([
    [0, 0, [4]],
    [7, 3, [3, 5]],
    [2n ** 63n + 12345n, 2 ** 32 - 1, [1031]],
    [1, 1, []],
    [1, 1, [0, 3]],
  ] as const)("is bit-equal to the host's stream: seed %s, stream %i, shape %j", async (seed, stream, shape) => {
    const device = await sharedDevice(name);
    const y = randomUniform(shape, { device, seed, stream });
    expect(y.shape).toEqual(shape);
    expect(await y.read()).toEqual(new Random(seed, stream).uniforms(y.size));
  });

  it("is even over [0, 1)", async () => {
    const device = await sharedDevice(name);
    const values = await randomUniform([40000], { device, seed: 5 }).read();
    const bins = new Array<number>(10).fill(0);
    for (const value of values) bins[Math.floor(value * 10)]!++;
    // chi-squared with 9 degrees of freedom: above 27.9 in one of 1000 seeds
    expect(bins.reduce((sum, count) => sum + (count - 4000) ** 2 / 4000, 0)).toBeLessThan(27.9);
  });
});

it("starts from the words of the published test vector for key and counter 0", async () => {
  const device = await sharedDevice("reference");
  const values = await randomUniform([4], { device, seed: 0 }).read();
  const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8];
  expect([...values]).toEqual(words.map((word) => (word >>> 8) * 2 ** -24));
});
