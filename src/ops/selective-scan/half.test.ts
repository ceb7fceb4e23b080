import { describe, expect, it } from "vitest";
import { fastBackends, maxError, normal, sharedDevice, uniform } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { openWebgpu } from "../../backends/webgpu/index.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { mul } from "../elementwise/index.ts";
import { webgpuKernels } from "../kernels/webgpu.ts";
import { sum } from "../reduce/index.ts";
import { selectiveScan } from "./index.ts";

const [batch, length, channels, state] = [2, 70, 8, 4];
const segments = Int32Array.from({ length: batch * length }, (_, i) => (i % length < 40 ? 0 : 1));

/** The same draws for every device: leaves in float32, or float64 on the reference device. */
function leaves(device: Device): Record<string, Tensor> {
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
async function evaluate(device: Device, isWide: boolean, hasSegments = false): Promise<Record<string, TypedArray>> {
  const { weights, ...given } = leaves(device);
  const { dtype } = weights!;
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
    const expected = await evaluate(await sharedDevice("reference"), true);
    const actual = await evaluate(await sharedDevice(name), false);
    // float16 has 11 bits
    for (const [output, values] of Object.entries(expected))
      expect(maxError(actual[output]!, values), output).toBeLessThan(1e-3);
  });

  it("refuses rows of different types", async () => {
    const { u, delta, A, B, C, z } = leaves(await sharedDevice("reference")) as Record<string, Tensor>;
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

  // Dawn checks programs for a device that does not run them; what they compute is checked on cards
  it.runIf(fastBackends.includes("webgpu"))("has programs that a device with shader-f16 takes", async () => {
    await sharedDevice("webgpu");
    const { create } = await import("webgpu");
    const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    for (const sizes of [{ subgroupMinSize: 32, subgroupMaxSize: 32 }, {}]) {
      const adapter = (await gpu.requestAdapter())!;
      const info = new Proxy(adapter.info, {
        get: (own, key) => (sizes as Record<string | symbol, unknown>)[key] ?? Reflect.get(own, key, own),
      });
      const like = new Proxy(adapter, {
        get: (own, key) => {
          if (key === "info") return info;
          const value = Reflect.get(own, key, own);
          return typeof value === "function" ? value.bind(own) : value;
        },
      });
      using device = await openWebgpu({ adapter: like }, webgpuKernels);
      expect(device.features.has("shader-f16")).toBe(true);
      for (const hasSegments of [false, true]) {
        const made = await evaluate(device, false, hasSegments);
        expect(made["u"]!.length).toBe(batch * length * channels);
      }
    }
  });
});
