import { expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import type { Device } from "../tensor/device.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { Random } from "../tensor/random.ts";
import { tensor } from "../tensor/tensor.ts";
import { crossEntropy } from "./cross-entropy/index.ts";
import { openDevice } from "./devices.ts";
import { add, div, gelu, mul } from "./elementwise/index.ts";
import { layerNorm } from "./layer-norm/index.ts";
import { concat, slice, transpose } from "./movement/index.ts";
import { max, sum } from "./reduce/index.ts";
import { rmsNorm } from "./rms-norm/index.ts";
import { softmax } from "./softmax/index.ts";

/** A bit of everything, forward and backward, on strided views and broadcast operands. */
async function results(device: Device): Promise<TypedArray[]> {
  const random = new Random(11);
  const dtype = device.name === "reference" ? "float64" : "float32";
  const filled = (shape: readonly number[]) => {
    const size = shape.reduce((product, axis) => product * axis, 1);
    return tensor(Float64Array.from(random.normals(size), Math.fround), shape, { device, dtype });
  };
  const leaves = { x: filled([300, 70]), weight: filled([31]), bias: filled([31]), column: filled([300, 1]) };
  const targets = tensor(
    Int32Array.from({ length: 300 }, () => random.integer(31)),
    undefined,
    { device },
  );
  const { value, gradients } = valueAndGrad(({ x, weight, bias, column }) => {
    const left = slice(x, { axis: 1, start: 3, end: 34 });
    const right = slice(x, { axis: 1, start: 37, end: 68 });
    const { y, sum: stream } = rmsNorm(left, weight, { residual: right });
    const normed = layerNorm(add(y, stream), weight, bias).y;
    const turned = gelu(transpose(transpose(softmax(mul(normed, column)))));
    const joined = concat([turned, div(left, add(mul(right, right), 1))], 1);
    const { loss } = crossEntropy(slice(joined, { axis: 1, start: 9, end: 40 }), targets);
    return add(add(loss, sum(max(joined, { axis: 0 }))), mul(sum(joined), 0.01));
  }, leaves);
  return Promise.all([value, ...Object.values(gradients)].map((made) => made.read()));
}

it.runIf(fastBackends.includes("wasm"))("gives the same bits for any number of threads, near float64", async () => {
  const reference = await results(await sharedDevice("reference"));
  let first: TypedArray[] | undefined;
  for (const threads of [0, 1, 2, 3]) {
    using device = await openDevice("wasm", { threads });
    const made = await results(device);
    first ??= made;
    expect(made, `${threads} threads`).toEqual(first);
  }
  first!.forEach((array, k) => {
    const scale = Math.max(...reference[k]!.map(Math.abs));
    array.forEach((value, i) => {
      expect(Math.abs(value - reference[k]![i]!) / scale).toBeLessThan(1e-5);
    });
  });
});
