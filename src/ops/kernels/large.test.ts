import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { expectClose, fastBackends, sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { OutOfMemoryError } from "../../tensor/errors.ts";
import { Random } from "../../tensor/random.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { cast } from "../cast/index.ts";
import { crossEntropy } from "../cross-entropy/index.ts";
import { openDevice } from "../devices.ts";
import { add, mul, silu } from "../elementwise/index.ts";
import { embedding } from "../embedding/index.ts";
import { linear } from "../linear/index.ts";
import { linearCrossEntropy } from "../linear-cross-entropy/index.ts";
import { matmul } from "../matmul/index.ts";
import { concat, contiguous, slice, transpose } from "../movement/index.ts";
import { adamwUpdate, addSquaredNorm } from "../optimizer-update/index.ts";
import { max, sum } from "../reduce/index.ts";
import { rmsNorm } from "../rms-norm/index.ts";
import { rotary } from "../rotary/index.ts";
import { softmax } from "../softmax/index.ts";

/** Bytes that a binding may have: less than almost all tensors here, as 128 MiB are less than the logits of a large batch. */
const BINDING = 8192;

type Inputs = Readonly<Record<string, Tensor>>;
type Compute = (inputs: Inputs, device: Device) => Record<string, Tensor>;

interface Case {
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly compute: Compute;
}

const ids = (device: Device, shape: readonly number[], bound: number): Tensor =>
  tensor(
    Int32Array.from({ length: sizeOf(shape) }, (_, i) => (i * 37) % bound),
    shape,
    { device },
  );

const cases: Record<string, Case> = {
  "elementwise, broadcast": {
    shapes: { x: [40, 100], row: [100], column: [40, 1] },
    compute: ({ x, row, column }) => ({ y: silu(add(mul(x!, row!), column!)) }),
  },
  "rms norm": {
    shapes: { x: [4, 10, 100], weight: [100], residual: [4, 10, 100] },
    compute: ({ x, weight, residual }) =>
      rmsNorm(x!, weight!, { residual: residual! }) as unknown as Record<string, Tensor>,
  },
  "softmax and the type of elements": {
    shapes: { x: [48, 96] },
    compute: ({ x }) => ({ y: cast(cast(softmax(x!), "float16"), x!.dtype as "float32") }),
  },
  reductions: {
    shapes: { x: [30, 20, 16] },
    compute: ({ x }) => ({
      all: sum(x!),
      rows: sum(x!, { axis: 2 }),
      columns: sum(x!, { axis: 0 }),
      most: max(x!, { axis: 1 }),
    }),
  },
  "linear with a large weight": {
    shapes: { x: [40, 12], w: [200, 12], bias: [200] },
    compute: ({ x, w, bias }) => ({ y: linear(x!, w!, bias!) }),
  },
  "products of batches": {
    shapes: { a: [3, 40, 20], b: [3, 70, 20], c: [70, 64] },
    compute: ({ a, b, c }) => ({ y: matmul(matmul(a!, b!, { transposeB: true }), c!) }),
  },
  "parts put together": {
    shapes: { x: [64, 40], y: [64, 24] },
    compute: ({ x, y }) => ({ z: contiguous(transpose(slice(concat([x!, y!]), { axis: 1, start: 8, end: 60 }))) }),
  },
  embedding: {
    shapes: { table: [300, 16] },
    compute: ({ table }, device) => ({ y: embedding(table!, ids(device, [3, 60], 300)) }),
  },
  "cross entropy": {
    shapes: { logits: [80, 200] },
    compute: ({ logits }, device) => ({
      losses: crossEntropy(logits!, ids(device, [80], 200), { reduction: "none" }).losses,
    }),
  },
  "linear cross entropy": {
    shapes: { x: [32, 12], weight: [256, 12] },
    compute: ({ x, weight }, device) => ({
      losses: linearCrossEntropy(x!, weight!, ids(device, [32], 256), { reduction: "none" }).losses,
    }),
  },
};

function draw(device: Device, shapes: Case["shapes"]): Record<string, Tensor> {
  const random = new Random(11);
  const dtype = device.name === "reference" ? "float64" : "float32";
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      tensor(Float64Array.from(random.normals(sizeOf(shape)), Math.fround), shape, { device, dtype }),
    ]),
  );
}

/** Outputs, and gradients of sums of their squares. */
async function evaluate(device: Device, { shapes, compute }: Case): Promise<Record<string, TypedArray>> {
  const inputs = draw(device, shapes);
  const { aux, gradients } = valueAndGrad((leaves: Record<string, Tensor>) => {
    const made = compute(leaves, device);
    const squares = Object.values(made).map((one) => sum(mul(one, one)));
    return { value: squares.reduce((total, one) => add(total, one)), aux: made };
  }, inputs);
  const arrays: Record<string, TypedArray> = {};
  for (const [name, made] of Object.entries(aux!)) arrays[name] = await made.read();
  for (const [name, made] of Object.entries(gradients)) arrays[`d ${name}`] = await made.read();
  for (const made of [...Object.values(inputs), ...Object.values(aux!), ...Object.values(gradients)]) made.dispose();
  return arrays;
}

describe.runIf(fastBackends.includes("webgpu"))("tensors larger than a binding of the GPU may be", () => {
  let device: Device;
  beforeAll(async () => {
    await sharedDevice("webgpu");
    device = await openDevice("webgpu", { bindingBytes: BINDING });
  });
  afterAll(() => device.dispose());

  it.each(Object.entries(cases))("give what float64 gives, and as gradients: %s", async (name, one) => {
    const expected = await evaluate(await sharedDevice("reference"), one);
    const largest = Math.max(...Object.values(expected).map(({ length }) => 4 * length));
    expect(largest).toBeGreaterThan(BINDING);
    expectClose(await evaluate(device, one), expected, name.includes("type") ? 1e-3 : 1e-5, "value");
  });

  it("are updated, and their squares added up", async () => {
    const run = async (on: Device): Promise<Record<string, TypedArray>> => {
      const shape = [53, 97];
      const { parameter, gradient, mean, square } = draw(on, {
        ...{ parameter: shape, gradient: shape, mean: shape },
        square: [1],
      });
      const { dtype } = parameter!;
      const moments = { mean: mean!, square: mul(gradient!, gradient!) };
      const settings = { learningRate: 0.1, weightDecay: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, step: 3 };
      adamwUpdate(parameter!, gradient!, moments, settings);
      const total = tensor(new Float64Array(1), [1], { device: on, dtype });
      addSquaredNorm([gradient!, square!], total);
      const made = { parameter: parameter!, ...moments, total };
      const arrays: Record<string, TypedArray> = {};
      for (const [name, tensor] of Object.entries(made)) arrays[name] = await tensor.read();
      return arrays;
    };
    expectClose(await run(device), await run(await sharedDevice("reference")), 1e-5, "value");
  });

  it("tell at which position an id is out of range", async () => {
    const { table } = draw(device, { table: [300, 16] }) as { table: Tensor };
    const given = new Int32Array(180);
    given[170] = 300;
    const y = embedding(table, tensor(given, [180], { device }));
    await expect(y.read()).rejects.toMatchObject({
      code: "ID_OUT_OF_RANGE",
      facts: { actual: 300, position: 170 },
    });
  });

  it("are refused where an op cannot take them in parts", async () => {
    const { x } = draw(device, { x: [2, 20, 4, 32] }) as { x: Tensor };
    expect(() => rotary(x)).toThrow(OutOfMemoryError);
    expect(() => rotary(x)).toThrow(/rotary: .* must bind at most 8192 bytes .* got \d+, .* use a smaller batch/);
    const { row } = draw(device, { row: [1, 4000] }) as { row: Tensor };
    expect(() => softmax(row)).toThrow(/softmax: x must have at most 8192 bytes .* got \[1 4000\] over 16000 bytes/);
  });
});
