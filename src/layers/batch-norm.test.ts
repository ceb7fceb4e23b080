import { describe, expect, it } from "vitest";
import { fastBackends, maxError, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { mul } from "../ops/elementwise/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { DeviceName } from "../tensor/device.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { BatchNorm } from "./batch-norm.ts";

const [batch, length, channels] = [2, 3, 2];
/** [batch length channels] */
const values = [0.5, 2, -1, 4, 3, -2, 1, 1, 7, 7, 7, 7];
/** The last two samples are padding. */
const mask = [1, 1, 1, 1, 0, 0];
const [weight, bias, epsilon] = [[2, -0.5], [0.25, 1], 0.1];

/** As the definition says, over the samples that count. */
function byDefinition(counted: readonly number[]): { y: number[]; mean: number[]; variance: number[] } {
  const rows = counted.flatMap((counts, i) => (counts ? [values.slice(2 * i, 2 * i + 2)] : []));
  const average = (of: (row: number[]) => number): number =>
    rows.reduce((total, row) => total + of(row), 0) / rows.length;
  const mean = [0, 1].map((c) => average((row) => row[c]!));
  const variance = [0, 1].map((c) => average((row) => (row[c]! - mean[c]!) ** 2));
  const y = values.map((x, i) => {
    const c = i % channels;
    return ((x - mean[c]!) / Math.sqrt(variance[c]! + epsilon)) * weight[c]! + bias[c]!;
  });
  return { y, mean, variance: variance.map((v) => (v * rows.length) / (rows.length - 1)) };
}

async function make(
  name: DeviceName,
): Promise<{ norm: BatchNorm; of: (data: readonly number[], shape: number[]) => Tensor }> {
  const device = await sharedDevice(name);
  const dtype = name === "reference" ? ("float64" as const) : ("float32" as const);
  const of = (data: readonly number[], shape: number[]): Tensor =>
    tensor(Float64Array.from(data), shape, { device, dtype });
  const all = (data: readonly number[]): Tensor => of(data, [channels]);
  const parameters = {
    ...{ weight: all(weight), bias: all(bias), runningMean: all([1, -1]), runningVariance: all([2, 3]) },
  };
  return { norm: new BatchNorm(epsilon, parameters), of };
}

const read = async (x: Tensor): Promise<Float64Array> => Float64Array.from((await x.read()) as Float64Array);

describe("BatchNorm", () => {
  for (const name of ["reference", ...fastBackends] as const) {
    it(`${name}: normalises by the batch and moves the running values a tenth towards it`, async () => {
      for (const counted of [[1, 1, 1, 1, 1, 1], mask]) {
        const { norm, of } = await make(name);
        const given = counted.includes(0) ? { mask: of(mask, [batch, length, 1]) } : {};
        const y = norm.forward(of(values, [batch, length, channels]), { training: true, ...given });
        const expected = byDefinition(counted);
        const limit = name === "reference" ? 1e-12 : 1e-6;
        expect(maxError(await read(y), Float64Array.from(expected.y))).toBeLessThan(limit);
        const { runningMean, runningVariance } = norm.parameters;
        const mean = [0.9 + 0.1 * expected.mean[0]!, -0.9 + 0.1 * expected.mean[1]!];
        const variance = [1.8 + 0.1 * expected.variance[0]!, 2.7 + 0.1 * expected.variance[1]!];
        expect(maxError(await read(runningMean), Float64Array.from(mean))).toBeLessThan(limit);
        expect(maxError(await read(runningVariance), Float64Array.from(variance))).toBeLessThan(limit);
      }
    });
  }

  it("normalises by the running values when not training, and leaves them", async () => {
    const { norm, of } = await make("reference");
    const y = await read(norm.forward(of([1, 2], [1, 2])));
    const expected = [0.25, 1 - (0.5 * 3) / Math.sqrt(3 + epsilon)];
    expect(maxError(y, Float64Array.from(expected))).toBeLessThan(1e-12);
    expect(await read(norm.parameters.runningMean)).toEqual(Float64Array.of(1, -1));
  });

  it("keeps the running values where a batch is not finite", async () => {
    const { norm, of } = await make("reference");
    norm.forward(of([1, Number.NaN, 3, 4], [1, 2, 2]), { training: true });
    expect(await read(norm.parameters.runningMean)).toEqual(Float64Array.of(1, -1));
    expect(await read(norm.parameters.runningVariance)).toEqual(Float64Array.of(2, 3));
  });

  it("has the gradient of central differences, through mean and variance; running values have none", async () => {
    const { norm, of } = await make("reference");
    const factors = of([3, 1, -2, 4, 0.5, -1, 2, 2, 1, 5, -3, 1], [batch, length, channels]);
    const options = { training: true, mask: of(mask, [batch, length, 1]) };
    const loss = (x: Tensor): Tensor => sum(mul(norm.forward(x, options), factors));
    const { gradients } = valueAndGrad((own) => loss(own.x), {
      x: of(values, [batch, length, channels]),
      ...norm.parameters,
    });
    const lossAt = async (i: number, by: number): Promise<number> => {
      const moved = values.map((x, j) => (i === j ? x + by : x));
      return (await read(loss(of(moved, [batch, length, channels]))))[0]!;
    };
    const expected: number[] = [];
    for (let i = 0; i < values.length; i++) expected.push(((await lossAt(i, 1e-5)) - (await lossAt(i, -1e-5))) / 2e-5);
    expect(maxError(await read(gradients.x), Float64Array.from(expected))).toBeLessThan(1e-8);
    expect(await read(gradients.runningMean)).toEqual(new Float64Array(channels));
  });
});
