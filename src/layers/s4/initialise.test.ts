import { describe, expect, it } from "vitest";
import { maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { flattenParameters } from "../../tensor/parameters.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import type { S4Initialisation } from "./initialise.ts";
import { S4Recurrence } from "./recurrence.ts";
import { type S4Config, S4Layer } from "./s4-layer.ts";

const diagonal: S4Config = { dModel: 6, dState: 8, structure: "diagonal" };
const lowRank: S4Config = { dModel: 6, dState: 8, structure: "low-rank", kernelLength: 24 };

async function draw(config: S4Config, start: S4Initialisation, device: "reference" | "wasm" = "reference", seed = 3) {
  const options = { device: await sharedDevice(device), dtype: "float32" as const, random: new Random(seed) };
  const layer = S4Layer.create(config, start, options);
  const values = new Map<string, Float32Array>();
  for (const [name, parameter] of flattenParameters(layer.parameters)) {
    values.set(name, (await parameter.read()) as Float32Array);
  }
  return { layer, value: (name: string): Float32Array => values.get(name)!, values };
}

const sizes = (pairs: Float32Array): Float64Array =>
  Float64Array.from({ length: pairs.length / 2 }, (_, n) => Math.hypot(pairs[2 * n]!, pairs[2 * n + 1]!));

describe("S4Layer.create", () => {
  it("starts low rank as HiPPO-LegS", async () => {
    const { value } = await draw(lowRank, {});
    // N = 8 of notes on HiPPO-LegS in its eigenvectors
    const frequencies = Float64Array.of(19.85741037, 5.35420852, 1.95779415, 0.42748871);
    expect(maxError(value("kernel.A_imag"), frequencies)).toBeLessThan(1e-6);
    expect(maxError(value("kernel.A_real"), frequencies.fill(Math.log(0.5)))).toBeLessThan(1e-6);
    const B = Float64Array.of(5.15562552, 1.84386891, 1.17495995, 0.79946359);
    expect(maxError(sizes(value("kernel.B")), B)).toBeLessThan(1e-6);
    expect(
      maxError(
        sizes(value("kernel.P")),
        B.map((size) => size / Math.SQRT2),
      ),
    ).toBeLessThan(1e-6);
  });

  it("starts diagonals on the lines of S4D, and cuts B of HiPPO", async () => {
    const imaginary = async (init: S4Initialisation["init"]) => (await draw(diagonal, { init })).value("kernel.A_imag");
    expect(maxError(await imaginary("lin"), Float64Array.of(1e-4, Math.PI, 2 * Math.PI, 3 * Math.PI))).toBeLessThan(
      1e-6,
    );
    const inverse = Float64Array.of(17.82535363, 4.24413182, 1.52788745, 0.36378273);
    expect(maxError(await imaginary("inv"), inverse)).toBeLessThan(1e-6);
    const { value } = await draw(diagonal, { init: "real" });
    expect(maxError(value("kernel.A_real"), Float64Array.of(0, Math.log(2), Math.log(3), Math.log(4)))).toBeLessThan(
      1e-6,
    );
    const legs = (await draw(diagonal, { init: "legs" })).value("kernel.B");
    expect(Math.max(...legs.filter((_, i) => i % 2 === 1).map(Math.abs))).toBeCloseTo(2, 6);
    expect((await draw(diagonal, { init: "lin", keepB: false })).values.has("kernel.B")).toBe(false);
  });

  it("draws step sizes log-uniformly, C with variance 1/2 and the same on every device", async () => {
    const config = { ...diagonal, dModel: 256 };
    for (const dtTransform of ["exp", "softplus"] as const) {
      const { value } = await draw({ ...config, dtTransform }, { dtMin: 0.01, dtMax: 1, copies: 4 });
      const logs = Array.from(value("kernel.invDt"), (x) =>
        dtTransform === "exp" ? x : Math.log(Math.log1p(Math.exp(x))),
      );
      expect(Math.min(...logs)).toBeGreaterThan(Math.log(0.01));
      expect(Math.max(...logs)).toBeLessThan(1e-6);
      expect(Math.abs(logs.reduce((sum, x) => sum + x, 0) / 256 - Math.log(0.1))).toBeLessThan(0.35);
      const square = value("kernel.C").reduce((sum, x) => sum + x * x, 0) / (2 * 256 * 4);
      expect(Math.abs(square - 0.5)).toBeLessThan(0.1);
    }
    const [first, second] = [await draw(config, {}), await draw(config, {}, "wasm")];
    for (const [name, value] of first.values) expect(second.value(name), name).toEqual(value);
  });

  for (const init of ["legs", "lagt", "fout"] as const) {
    it(`tunes C to the length: the kernel is that of the recurrence (${init})`, async () => {
      const device = await sharedDevice("reference");
      const random = new Random(1);
      const layer = S4Layer.create(lowRank, { init }, { device, dtype: "float64", random });
      const u = Float64Array.from({ length: 24 * 6 }, () => random.normal());
      const x = tensor(u, [1, 24, 6], { device, dtype: "float64" });
      expect(maxError(await stepped(layer, x), await layer.forward(x).read())).toBeLessThan(1e-9);
    });
  }

  it("tunes C with rank 2 too, and gives it back", async () => {
    const device = await sharedDevice("reference");
    const plain = S4Layer.create(lowRank, { init: "legt" }, { device, dtype: "float64", random: new Random(1) });
    const longer = await (await plain.lengthened(40)).lengthened(24);
    const [first, second] = await Promise.all([plain, longer].map((layer) => layer.parameters.kernel.C.read()));
    expect(maxError(second!, first!)).toBeLessThan(1e-9);
  });

  it("refuses choices that do not fit", async () => {
    await expect(draw(lowRank, { init: "lin" })).rejects.toThrow("init must be one of legs, legt, lagt, fout, foud");
    await expect(draw(diagonal, { init: "fout" })).rejects.toThrow("init must be legs, lin, inv, real or random");
    await expect(draw(diagonal, { copies: 4 })).rejects.toThrow("copies must divide dModel 6; got 4");
    await expect(draw({ ...diagonal, dState: 7 }, {})).rejects.toThrow("dState must be even and at least 2; got 7");
  });
});

async function stepped(layer: S4Layer, x: Tensor): Promise<TypedArray> {
  using recurrence = await S4Recurrence.of(layer);
  let state = recurrence.initialState(1);
  const outputs: Tensor[] = [];
  for (let t = 0; t < x.shape[1]!; t++) {
    const result = recurrence.step(reshape(slice(x, { axis: 1, start: t, end: t + 1 }), [1, 6]), state);
    outputs.push(reshape(result.y, [1, 1, 6]));
    state = result.state;
  }
  return await concat(outputs, 1).read();
}
