import { describe, expect, it } from "vitest";
import { expectClose, fastBackends, maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { readSafetensors } from "../../checkpoints/index.ts";
import { mul } from "../../ops/elementwise/index.ts";
import { concat, reshape, slice, transpose } from "../../ops/movement/index.ts";
import { sum } from "../../ops/reduce/index.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
import { flattenParameters, nestParameters } from "../../tensor/parameters.ts";
import { scope } from "../../tensor/scope.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { S4Recurrence } from "./recurrence.ts";
import { type S4Config, S4Layer, type S4Parameters } from "./s4-layer.ts";

const folder = new URL("../../../test/fixtures/s4/", import.meta.url).pathname;

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

/** Our names of the reference's parameters, and what they lack of our axes. */
const names: Readonly<Record<string, string>> = {
  "layer.D": "D",
  "layer.kernel.C": "kernel.C",
  "layer.kernel.B": "kernel.B",
  "layer.kernel.P": "kernel.P",
  "layer.kernel.A_real": "kernel.A_real",
  "layer.kernel.A_imag": "kernel.A_imag",
  "layer.kernel.inv_dt": "kernel.invDt",
  "output_linear.0.weight": "outputLinear.weight",
  "output_linear.0.bias": "outputLinear.bias",
  D: "D",
  "kernel.C": "kernel.C",
  "kernel.log_dt": "kernel.invDt",
  "kernel.log_A_real": "kernel.A_real",
  "kernel.A_imag": "kernel.A_imag",
};

function shapeOf(name: string, shape: readonly number[]): readonly number[] {
  if (name === "D" && shape.length === 1) return [1, ...shape];
  if (name === "kernel.C" && shape.length === 3) return [1, ...shape];
  if (name === "kernel.invDt" && shape.length === 1) return [...shape, 1];
  return name === "outputLinear.weight" ? shape.slice(0, 2) : shape;
}

const configs: Readonly<Record<string, S4Config>> = {
  "diag-inv-bilinear": { dModel: 6, dState: 16, structure: "diagonal", discretization: "bilinear" },
  "diag-legs": { dModel: 6, dState: 16, structure: "diagonal" },
  "diag-lin": { dModel: 6, dState: 16, structure: "diagonal" },
  "diag-real": { dModel: 6, dState: 16, structure: "diagonal" },
  "dplr-legs": { dModel: 6, dState: 16, structure: "low-rank", kernelLength: 64 },
  "dplr-fout": { dModel: 6, dState: 16, structure: "low-rank", kernelLength: 64 },
  "s4d-minimal": { dModel: 6, dState: 16, structure: "diagonal", imaginarySign: 1 },
};

function upload(device: Device, { data, shape }: Stored, name = ""): Tensor {
  const isReference = device.name === "reference";
  const values = isReference ? Float64Array.from(data) : data;
  return tensor(values, shapeOf(name, shape), { device, dtype: isReference ? "float64" : "float32" });
}

/**
 * Zeroes the gradients of the last of 8 states. In the Fourier measure that is the mode of frequency 0, whose pole lies 1e-7 from a node:
 * the reference's float32 leaves few digits of them, or none.
 */
function forgetStillMode(gradients: Record<string, Float32Array>): void {
  for (const [name, gradient] of Object.entries(gradients)) {
    if (!name.startsWith("kernel.") || name === "kernel.invDt") continue;
    const width = name.startsWith("kernel.A_") ? 1 : 2;
    for (let i = 0; i < gradient.length; i++) if (Math.floor(i / width) % 8 === 7) gradient[i] = 0;
  }
}

/** Holds the layer's steps to the reference's, and to the layer as a convolution. */
async function checkSteps(layer: S4Layer, x: Tensor, steps: Stored): Promise<void> {
  const [batch, length, dModel] = x.shape as [number, number, number];
  using recurrence = await S4Recurrence.of(layer);
  let state = recurrence.initialState(batch);
  const outputs: Tensor[] = [];
  for (let t = 0; t < length; t++) {
    const result = recurrence.step(reshape(slice(x, { axis: 1, start: t, end: t + 1 }), [batch, dModel]), state);
    outputs.push(reshape(result.y, [batch, 1, dModel]));
    state = result.state;
  }
  const y = await concat(outputs, 1).read();
  expect(maxError(y, steps.data)).toBeLessThan(1e-4);
  expect(maxError(y, await layer.forward(x).read())).toBeLessThan(1e-4);
}

for (const deviceName of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`S4 on ${deviceName}`, () => {
    for (const [fixture, config] of Object.entries(configs)) {
      it(`${fixture}: kernel, outputs and gradients are those of the official layer`, async () => {
        const device = await sharedDevice(deviceName);
        const golden = await stored(fixture);
        const given = [...golden].filter(([key]) => key.startsWith("param."));
        const parameters = nestParameters(
          given.map(([key, value]) => {
            const name = names[key.slice("param.".length)]!;
            return [name, upload(device, value, name)];
          }),
        ) as unknown as S4Parameters;
        const layer = new S4Layer(config, parameters);
        const kernel = golden.get("kernel");
        if (kernel) {
          const made = scope(() => transpose(concat(layer.kernels(kernel.shape[2]!), 1)));
          expect(maxError(await made.read(), kernel.data)).toBeLessThan(1e-4);
        }
        const steps = golden.get("y_step");
        if (steps) await checkSteps(layer, upload(device, golden.get("x")!), steps);
        const weights = upload(device, golden.get("dy")!);
        const leaves = { ...parameters, x: upload(device, golden.get("x")!) };
        const { aux, gradients } = valueAndGrad((leaf) => {
          const y = new S4Layer(config, leaf).forward(leaf.x);
          return { value: sum(mul(y, weights)), aux: { y } };
        }, leaves);
        const made: Record<string, unknown> = { y: await aux!.y.read() };
        const expected: Record<string, unknown> = { y: golden.get("y")!.data };
        for (const [name, gradient] of flattenParameters(gradients)) made[name] = await gradient.read();
        for (const [key, { data }] of golden) {
          if (key === "grad.x") expected["x"] = data;
          else if (key.startsWith("grad.")) expected[names[key.slice("grad.".length)]!] = data;
        }
        if (fixture === "dplr-fout")
          for (const all of [made, expected]) forgetStillMode(all as Record<string, Float32Array>);
        expectClose(made as never, expected as never, 1e-4, fixture);
      });
    }
  });
}

describe("S4Layer.lengthened", () => {
  it("gives kernels that go on, and the same kernel where it is cut", async () => {
    const device = await sharedDevice("reference");
    const golden = await stored("dplr-legs");
    const given = [...golden].filter(([key]) => key.startsWith("param."));
    const named = given.map(([key, value]): [string, Tensor] => {
      const name = names[key.slice("param.".length)]!;
      return [name, upload(device, value, name)];
    });
    const layer = new S4Layer(configs["dplr-legs"]!, nestParameters(named) as unknown as S4Parameters);
    expect(() => layer.kernels(65)).toThrow("S4Layer: length must be at most 64, which C is tuned to; got 65");
    const [short, long] = [layer.kernels(64)[0]!, (await layer.lengthened(200)).kernels(200)[0]!];
    const whole = await long.read();
    expect(maxError(whole.slice(0, 64 * 6), await short.read())).toBeLessThan(1e-9);
    const other = (await layer.lengthened(128)).kernels(128)[0]!;
    expect(maxError(whole.slice(0, 128 * 6), await other.read())).toBeLessThan(1e-9);
  });
});
