import { expect, it } from "vitest";
import { fastBackends } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device } from "../../tensor/device.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { Random } from "../../tensor/random.ts";
import { tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { mul } from "../elementwise/index.ts";
import { sum } from "../reduce/index.ts";
import { attention } from "./index.ts";

/** Output and gradients with fewer queries than keys, in segments. */
async function results(device: Device): Promise<TypedArray[]> {
  const random = new Random(21);
  const filled = (length: number) => {
    const shape = [2, length, 3, 10];
    return tensor(Float32Array.from(random.normals(2 * length * 3 * 10)), shape, { device });
  };
  const leaves = { q: filled(19), k: filled(37), v: filled(37) };
  const weights = filled(19);
  const segmentIds = tensor(
    Int32Array.from({ length: 2 * 37 }, (_, i) => (i % 37 < 11 ? 0 : 1)),
    [2, 37],
    { device },
  );
  const { aux, gradients } = valueAndGrad(({ q, k, v }) => {
    const y = attention(q, k, v, { segmentIds });
    return { value: sum(mul(y, weights)), aux: y };
  }, leaves);
  return Promise.all([aux!, gradients.q, gradients.k, gradients.v].map((made) => made.read()));
}

it.runIf(fastBackends.includes("wasm"))("attention gives the same bits for any number of threads", async () => {
  let first: TypedArray[] | undefined;
  for (const threads of [0, 1, 2, 3]) {
    using device = await openDevice("wasm", { threads });
    const made = await results(device);
    for (const array of made) expect(array.some((x) => x !== 0)).toBe(true);
    first ??= made;
    expect(made, `${threads} threads`).toEqual(first);
  }
});
