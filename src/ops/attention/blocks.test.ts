import { expect, it } from "vitest";
import { fastBackends, maxError, sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import type { Device, DeviceName } from "../../tensor/device.ts";
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
    const values = Float64Array.from(random.normals(2 * length * 3 * 10), Math.fround);
    return tensor(values, shape, { device, dtype: device.name === "reference" ? "float64" : "float32" });
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

it.runIf(fastBackends.includes("wasm"))(
  "attention gives the same bits for any number of threads, near float64",
  async () => {
    const expected = await results(await sharedDevice("reference"));
    let first: TypedArray[] | undefined;
    for (const threads of [0, 1, 2, 3]) {
      using device = await openDevice("wasm", { threads });
      const made = await results(device);
      made.forEach((array, i) => {
        expect(maxError(array, expected[i]!)).toBeLessThan(1e-5);
      });
      first ??= made;
      expect(made, `${threads} threads`).toEqual(first);
    }
  },
);

it.each(["reference", ...fastBackends] as DeviceName[])(
  "attention on %s keeps a NaN to the queries that see it",
  async (name) => {
    const device = await sharedDevice(name);
    const filled = (seed: number) => Float32Array.from(new Random(seed).normals(13 * 6));
    const put = (values: Float32Array) => tensor(values, [1, 13, 1, 6], { device });
    const [q, k, v] = [filled(1), filled(2), filled(3)];
    const clean = await attention(put(q), put(k), put(v)).read();
    const broken = [k.slice(), v.slice()];
    for (const values of broken) values[6 * 6] = Number.NaN;
    const y = await attention(put(q), put(broken[0]!), put(broken[1]!)).read();
    expect([...y.slice(0, 36)]).toEqual([...clean.slice(0, 36)]);
    for (let i = 6; i < 13; i++) expect(y[6 * i]).toBeNaN();
  },
);
