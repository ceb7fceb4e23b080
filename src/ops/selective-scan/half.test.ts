import { describe, expect, it } from "vitest";
import { gpuProfiles, openValidator } from "../../../test/kit/null-gpu.ts";
import { fastBackends, maxError, normal, sharedDevice, uniform } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { mul } from "../elementwise/index.ts";
import { sum } from "../reduce/index.ts";
import { selectiveScan } from "./index.ts";

type Sizes = Readonly<Record<"batch" | "length" | "channels" | "state", number>>;
const few: Sizes = { batch: 2, length: 70, channels: 8, state: 4 };

/** The same draws for every device: leaves in float32, or float64 on the reference device. */
function leaves(device: Device, { batch, length, channels, state }: Sizes): Record<string, Tensor> {
  const random = new Random(3);
  const dtype = device.name === "reference" ? "float64" : "float32";
  const draw = (shape: number[], fill = normal): Tensor =>
    tensor(Float64Array.from(fill(random, shape), Math.fround), shape, { device, dtype });
  const rows = [batch, length, channels];
  return {
    ...{ u: draw(rows), delta: draw(rows), z: draw(rows) },
    ...{ B: draw([batch, length, state]), C: draw([batch, length, state]) },
    ...{ A: draw([channels, state], uniform(-2, -0.1)), D: draw([channels]), weights: draw(rows) },
  };
}

const halved = ["u", "delta", "z", "B", "C"];

/** y and gradients, with rows rounded to float16 and, unless `isWide`, given in it. */
async function evaluate(
  device: Device,
  sizes: Sizes,
  isWide: boolean,
  hasSegments = false,
): Promise<Record<string, TypedArray>> {
  const { weights, ...given } = leaves(device, sizes);
  const { dtype } = weights!;
  const { batch, length } = sizes;
  const segments = Int32Array.from({ length: batch * length }, (_, i) => (i % length < 40 ? 0 : 1));
  const ids = hasSegments && tensor(segments, [batch, length], { device });
  const { aux, gradients } = valueAndGrad((p: Record<string, Tensor>) => {
    const rows = Object.fromEntries(halved.map((name) => [name, cast(p[name]!, "float16")]));
    const wide = (x: Tensor): Tensor => cast(x, dtype as "float32");
    const own = isWide ? Object.fromEntries(halved.map((name) => [name, wide(rows[name]!)])) : rows;
    const { y } = selectiveScan(own["u"]!, own["delta"]!, p["A"]!, own["B"]!, own["C"]!, {
      ...{ D: p["D"], z: own["z"], deltaSoftplus: true },
      ...(ids ? { segmentIds: ids } : {}),
    });
    expect(y.dtype).toBe(isWide ? dtype : "float16");
    const full = wide(y);
    return { value: sum(mul(full, weights!)), aux: { y: full } };
  }, given);
  const read: Record<string, TypedArray> = {};
  for (const [name, made] of Object.entries({ ...aux!, ...gradients })) read[name] = await made.read();
  return read;
}

describe("selectiveScan of float16 rows", () => {
  it.each(["reference", ...fastBackends] as DeviceName[])("rounds what it gives on %s", async (name) => {
    const expected = await evaluate(await sharedDevice("reference"), few, true);
    const actual = await evaluate(await sharedDevice(name), few, false);
    // float16 has 11 bits
    for (const [output, values] of Object.entries(expected))
      expect(maxError(actual[output]!, values), output).toBeLessThan(1e-3);
  });

  it("refuses rows of different types", async () => {
    const { u, delta, A, B, C, z } = leaves(await sharedDevice("reference"), few) as Record<string, Tensor>;
    const half = (x: Tensor | undefined): Tensor => cast(x!, "float16");
    expect(() => selectiveScan(half(u), delta!, A!, half(B), half(C))).toThrow(
      /delta must be float16 like u; got float64/,
    );
    expect(() => selectiveScan(u!, delta!, A!, B!, C!, { z: half(z) })).toThrow(
      /z must be float64 like u; got float16/,
    );
    expect(() => selectiveScan(cast(u!, "float32"), delta!, A!, B!, C!)).toThrow(
      /u must be float64 like A, or float16/,
    );
  });

  // what they compute is checked on cards: no software device has float16
  it.runIf(fastBackends.includes("webgpu")).each(gpuProfiles.filter(({ features }) => features.includes("shader-f16")))(
    "has valid shaders for $name",
    async (profile) => {
      const { device, programs, problems } = await openValidator(profile);
      for (const given of [
        { ...few, state: 16 },
        { ...few, state: 5 },
        { ...few, length: 900, state: 16 },
      ]) {
        await evaluate(device, given, false);
        await evaluate(device, given, false, true);
      }
      expect(await problems()).toEqual([]);
      const tiles = [...programs].filter((name) => /tile.* half/.test(name));
      expect(tiles.length).toBeGreaterThan(1);
      device.dispose();
    },
  );
});
