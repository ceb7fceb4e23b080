import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../../test/kit/test-op.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { gelu as geluOf, sigmoid as sigmoidOf } from "./functions.ts";
import * as ops from "./index.ts";

type Range = readonly [low: number, high: number];

/** Largest relative error against float64 over linear and logarithmic spacing of a range. */
async function relativeError(
  name: "wasm",
  f: (x: Tensor) => Tensor,
  reference: (x: number) => number,
  ranges: readonly Range[],
): Promise<number> {
  const device = await sharedDevice(name);
  let worst = 0;
  for (const [low, high] of ranges) {
    const random = new Random(3);
    const values = Float32Array.from({ length: 20001 }, () => low + (high - low) * random.uniform());
    const near = Float32Array.from({ length: 20001 }, () => (high > 1 ? 1 : high) * 2 ** (-40 * random.uniform()));
    for (const x of low >= 0 ? [values, near] : [values, near, near.map((value) => -value)]) {
      worst = Math.max(worst, largestRelative(await f(tensor(x, undefined, { device })).read(), x, reference));
    }
  }
  return worst;
}

function largestRelative(actual: TypedArray, x: Float32Array, reference: (x: number) => number): number {
  let worst = 0;
  for (let i = 0; i < x.length; i++) {
    const exact = reference(x[i]!);
    const error = Math.abs(actual[i]! - exact) / Math.abs(exact);
    if (!(error <= worst)) worst = exact === 0 && actual[i] === 0 ? worst : error;
  }
  return worst;
}

const softplusOf = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

describe.runIf(fastBackends.includes("wasm"))("elementwise functions on wasm", () => {
  it.each([
    ["exp", ops.exp, Math.exp, [[-87, 88]]],
    ["expm1", ops.expm1, Math.expm1, [[-20, 88]]],
    [
      "log",
      ops.log,
      Math.log,
      [
        [0, 4],
        [0, 1e38],
      ],
    ],
    [
      "log1p",
      ops.log1p,
      Math.log1p,
      [
        [-0.99, 4],
        [0, 1e30],
      ],
    ],
    ["sigmoid", ops.sigmoid, sigmoidOf, [[-87, 87]]],
    ["tanh", ops.tanh, Math.tanh, [[-12, 12]]],
    ["silu", ops.silu, (x: number) => x * sigmoidOf(x), [[-80, 80]]],
    ["softplus", ops.softplus, softplusOf, [[-87, 100]]],
    ["sin", ops.sin, Math.sin, [[-1e4, 1e4]]],
    ["cos", ops.cos, Math.cos, [[-1e4, 1e4]]],
    [
      "atan",
      ops.atan,
      Math.atan,
      [
        [-1, 1],
        [-40, 40],
        [0, 1e9],
      ],
    ],
    ["rsqrt", ops.rsqrt, (x: number) => 1 / Math.sqrt(x), [[0, 1e30]]],
  ] as const)("has %s within three units in the last place of float64", async (_, f, reference, ranges) => {
    expect(await relativeError("wasm", f, reference, ranges)).toBeLessThan(3 * 2 ** -24);
  });

  it("has the GELU within four units in the last place where the reference has digits", async () => {
    expect(await relativeError("wasm", ops.gelu, geluOf, [[-3, 12]])).toBeLessThan(4.1e-7);
  });

  it("takes infinities, zeros and NaN as IEEE 754 asks", async () => {
    const device = await sharedDevice("wasm");
    const x = tensor(Float32Array.of(0, Infinity, -Infinity, Number.NaN, -1, 1e-40), undefined, { device });
    expect([...(await ops.exp(x).read())].slice(0, 4)).toEqual([1, Infinity, 0, Number.NaN]);
    expect([...(await ops.log(x).read())]).toEqual([
      ...[-Infinity, Infinity, Number.NaN, Number.NaN, Number.NaN],
      Math.fround(Math.log(Math.fround(1e-40))),
    ]);
    expect([...(await ops.softplus(x).read())].slice(1, 4)).toEqual([Infinity, 0, Number.NaN]);
    expect([...(await ops.tanh(x).read())].slice(0, 4)).toEqual([0, 1, -1, Number.NaN]);
    expect([...(await ops.expm1(x).read())].slice(0, 4)).toEqual([0, Infinity, -1, Number.NaN]);
    expect([...(await ops.log1p(x).read())]).toEqual([
      ...[0, Infinity, Number.NaN, Number.NaN, -Infinity],
      Math.fround(1e-40),
    ]);
  });

  it("passes the exponential into denormals", async () => {
    const device = await sharedDevice("wasm");
    const y = await ops.exp(tensor(Float32Array.of(-88, -100, -103, -104), undefined, { device })).read();
    expect([...y]).toEqual([-88, -100, -103, -104].map((x) => expect.closeTo(Math.exp(x), 44)));
    expect(y[2]).toBeGreaterThan(0);
    expect(y[3]).toBe(0);
  });
});
