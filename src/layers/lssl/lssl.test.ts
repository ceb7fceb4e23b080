import { describe, expect, it } from "vitest";
import { expectClose, fastBackends, maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { readSafetensors } from "../../checkpoints/index.ts";
import { mul } from "../../ops/elementwise/index.ts";
import { concat, reshape, slice } from "../../ops/movement/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { flattenParameters, nestParameters } from "../../tensor/parameters.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { LsslLayer, type LsslParameters } from "./lssl-layer.ts";
import { LsslRecurrence } from "./recurrence.ts";

const folder = new URL("../../../test/fixtures/lssl/", import.meta.url).pathname;
const config = { dModel: 6, dState: 16 };

interface Stored {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

async function stored(name: string): Promise<Map<string, Stored>> {
  const file = await readSafetensors(`${folder}${name}.safetensors`);
  const arrays = new Map<string, Stored>();
  for (const [key, entry] of file.tensors) {
    arrays.set(key, { data: (await entry.read()) as Float32Array, shape: entry.shape });
  }
  await file.close();
  return arrays;
}

/** The reference's name without its kind, in our words. */
function nameOf(key: string): string {
  const name = key.replace(/^(param|buffer|grad)\./, "");
  return name.replace("log_dt", "logDt").replace("output_linear", "outputLinear");
}

/** Ours have the reference's transition without what pads it. */
function fitted(name: string, { data, shape }: Stored): Stored {
  if (!name.startsWith("transition.")) return { data, shape };
  const own = name.endsWith(".dl") ? data.slice(0, 16) : data.slice(-16);
  return { data: own, shape: [1, 16] };
}

function upload(device: Device, { data, shape }: Stored): Tensor {
  const isReference = device.name === "reference";
  return tensor(isReference ? Float64Array.from(data) : data, shape, {
    device,
    dtype: isReference ? "float64" : "float32",
  });
}

async function layerOf(device: Device, golden: ReadonlyMap<string, Stored>): Promise<LsslLayer> {
  const named = new Map<string, Tensor>();
  for (const [key, value] of golden) {
    if (!/^(param|buffer)\./.test(key) || /\.(I|ones)$/.test(key)) continue;
    named.set(nameOf(key), upload(device, fitted(nameOf(key), value)));
  }
  // a fixed transition has one vector for both sides
  if (!named.has("transition.pr")) named.set("transition.pr", named.get("transition.pl")!);
  return new LsslLayer(config, nestParameters([...named]) as unknown as LsslParameters);
}

/** Outputs of the first steps, [batch steps dModel]. */
async function stepped(layer: LsslLayer, x: Tensor, steps: number): Promise<TypedArray> {
  const [batch, , dModel] = x.shape as [number, number, number];
  using recurrence = new LsslRecurrence(layer);
  let state = recurrence.initialState(batch);
  const outputs: Tensor[] = [];
  for (let t = 0; t < steps; t++) {
    const result = recurrence.step(reshape(slice(x, { axis: 1, start: t, end: t + 1 }), [batch, dModel]), state);
    outputs.push(reshape(result.y, [batch, 1, dModel]));
    state = result.state;
  }
  return await concat(outputs, 1).read();
}

for (const deviceName of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`LSSL on ${deviceName}`, () => {
    for (const fixture of ["legs-learned", "legs-fixed", "legt-fixed"]) {
      // that with the most gradients is enough where shaders take long to compile
      if (deviceName === "webgpu" && fixture !== "legs-learned") continue;
      it(`${fixture}: discrete system, outputs, steps and gradients are those of the official layer`, async () => {
        const device = await sharedDevice(deviceName);
        const golden = await stored(fixture);
        const layer = await layerOf(device, golden);
        const { A, B } = layer.discrete();
        expect(maxError(await A.read(), golden.get("discrete_A")!.data)).toBeLessThan(1e-5);
        expect(maxError(await B.read(), golden.get("discrete_B")!.data)).toBeLessThan(1e-5);
        const x = upload(device, golden.get("x")!);
        const weights = upload(device, golden.get("dy")!);
        const { aux, gradients } = valueAndGrad(
          (leaf) => {
            const y = new LsslLayer(config, leaf).forward(leaf.x);
            return { value: sum(mul(y, weights)), aux: { y } };
          },
          { ...layer.parameters, x },
        );
        const y = await aux!.y.read();
        const steps = deviceName === "webgpu" ? 8 : 48;
        const first = await slice(aux!.y, { axis: 1, end: steps }).read();
        expect(maxError(await stepped(layer, x, steps), first)).toBeLessThan(2e-6);
        const made: Record<string, TypedArray> = { y };
        const expected: Record<string, TypedArray> = { y: golden.get("y")!.data };
        const all = new Map(flattenParameters(gradients));
        for (const [key, value] of golden) {
          if (!key.startsWith("grad.")) continue;
          const name = nameOf(key);
          expected[name] = fitted(name, value).data;
          made[name] = await all.get(name)!.read();
        }
        expectClose(made, expected, 1e-5, fixture);
      }, 120_000);
    }
  });
}
