import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { DeviceName } from "../../tensor/device.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { transpose } from "../movement/index.ts";
import { randomUniform } from "../random/index.ts";
import { sum } from "../reduce/index.ts";
import { dropout, tiedDropout } from "./index.ts";
import { dropoutOp } from "./operations.ts";

const params = { seedLow: 12, seedHigh: 1, stream: 4, threshold: 0.3 * 2 ** 24, scale: 1 / 0.7 };
testOp(dropoutOp, {
  cases: [
    { outer: 1, middle: 1, inner: 1031 },
    { outer: 3, middle: 5, inner: 37 },
    { outer: 2, middle: 129, inner: 2 },
  ].map((axes) => ({ axes, params })),
});

const options = { p: 0.25, seed: 9, stream: 2 };

describe.each(["reference", ...fastBackends] as DeviceName[])("dropout on %s", (name) => {
  it("keeps what the uniforms of the same stream say, scaled by 1 / (1 - p)", async () => {
    const device = await sharedDevice(name);
    const x = tensor(new Float32Array(999).fill(3), [27, 37], { device });
    const y = await dropout(x, options).read();
    const u = await randomUniform([999], { device, seed: 9, stream: 2 }).read();
    expect([...y]).toEqual([...u].map((value) => (value >= 0.25 ? 4 : 0)));
  });

  it("uses the same mask again in backward", async () => {
    const device = await sharedDevice(name);
    const x = tensor(
      Float32Array.from(new Random(1).normals(999), (value) => value + 9),
      undefined,
      { device },
    );
    const { gradients, aux } = valueAndGrad(
      () => {
        const y = dropout(x, options);
        return { value: sum(y), aux: { y } };
      },
      { x },
    );
    const [gradient, y] = [await gradients.x.read(), await aux!.y.read()];
    expect([...gradient]).toEqual([...y].map((value) => (value === 0 ? 0 : Math.fround(4 / 3))));
  });

  it("ties masks along the length", async () => {
    const device = await sharedDevice(name);
    const x = tensor(new Float32Array(2 * 5 * 8).fill(1), [2, 5, 8], { device });
    const y = await tiedDropout(x, { ...options, p: 0.5 }).read();
    const u = new Random(9, 2).uniforms(16);
    expect([...y]).toEqual(
      Array.from({ length: 80 }, (_, at) => (u[Math.floor(at / 40) * 8 + (at % 8)]! >= 0.5 ? 2 : 0)),
    );
  });

  it("drops everything at p = 1, even NaN, and nothing at p = 0", async () => {
    const device = await sharedDevice(name);
    const x = tensor(Float32Array.of(1, Number.NaN, Number.POSITIVE_INFINITY), [3], { device });
    expect([...(await dropout(x, { ...options, p: 1 }).read())]).toEqual([0, 0, 0]);
    expect(dropout(x, { ...options, p: 0 })).toBe(x);
  });
});

it("takes any strided view and counts in row-major order", async () => {
  const device = await sharedDevice("reference");
  const x = tensor([1, 2, 3, 4, 5, 6], [2, 3], { device });
  const turned = transpose(x);
  expect(await dropout(turned, options).read()).toEqual(
    await dropout(tensor([1, 4, 2, 5, 3, 6], [3, 2], { device }), options).read(),
  );
});

it("says what p and x must be", async () => {
  const device = await sharedDevice("reference");
  const x = tensor([1, 2], undefined, { device });
  expect(() => dropout(x, { ...options, p: 1.5 })).toThrowErrorMatchingInlineSnapshot(
    `[ConfigError: dropout: p must be in 0 to 1; got 1.5; pass a probability]`,
  );
  expect(() => tiedDropout(x, options)).toThrowErrorMatchingInlineSnapshot(
    `[ShapeError: tiedDropout: x must have shape [batch length channels]; got [2]; reshape it to 3 axes]`,
  );
});
